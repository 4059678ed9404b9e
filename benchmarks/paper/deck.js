// arrow keys, space and Page Up/Down turn the slides; N shows the notes
const count = document.querySelectorAll("section").length;
const at = () => Number(location.hash.slice(1)) || 1;
const first = () => document.body.classList.toggle("first", !location.hash);
addEventListener("hashchange", first);
first();
addEventListener("keydown", (event) => {
  const step = { ArrowRight: 1, PageDown: 1, " ": 1, ArrowLeft: -1, PageUp: -1 }[event.key];
  if (step) location.hash = Math.min(count, Math.max(1, at() + step));
  if (event.key === "n" || event.key === "N") document.body.classList.toggle("show-notes");
});
