// Wide tables scroll; by keys only what has the focus does. Material wraps them as the page loads.
addEventListener("load", () => {
  for (const wide of document.querySelectorAll(".md-typeset__scrollwrap")) wide.tabIndex = 0;
});
