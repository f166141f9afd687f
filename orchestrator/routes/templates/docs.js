"use strict";
const search = document.getElementById("search");
search.addEventListener("input", () => {
  const words = search.value.toLowerCase().split(/\s+/).filter(Boolean);
  for (const tag of document.querySelectorAll(".tag")) {
    let shown = 0;
    for (const route of tag.querySelectorAll(".route")) {
      route.hidden = !words.every((word) => route.dataset.words.includes(word));
      shown += route.hidden ? 0 : 1;
    }
    tag.hidden = shown === 0;
  }
});
const open = () => {
  const target = document.getElementById(decodeURIComponent(location.hash.slice(1)));
  if (target instanceof HTMLDetailsElement) { target.open = true; target.scrollIntoView(); }
};
addEventListener("hashchange", open);
open();
