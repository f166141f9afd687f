"""Words of the platform's documents that several edges of the service share, and the reading of aliases."""
