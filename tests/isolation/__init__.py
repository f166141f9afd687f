"""What belongs to others is not there: every way in, tried by all who must not get through.

The ways in are taken from the documents: the routes of OpenAPI, the frames of AsyncAPI, the records of operations and
the commands of the command line. One that is new and that the tables here do not cover fails its test.
"""
