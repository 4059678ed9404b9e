/** The viewer: a list of exams at `#/`, an exam at `#/exam/ID`. */

import { ExamPage } from "./exam_page.js";
import { openHelp } from "./keys.js";
import { openToken } from "./token.js";
import { Worklist } from "./worklist.js";

let page = null;

function go() {
  page?.close();
  for (const one of document.querySelectorAll("dialog[open]")) one.close(); // it was of the page before
  const found = /^#\/exam\/(.+)$/.exec(location.hash);
  page = found ? new ExamPage(decodeURIComponent(found[1])) : new Worklist();
  page.open();
}

document.getElementById("open-help").addEventListener("click", openHelp);
document.getElementById("open-token").addEventListener("click", openToken);
document.addEventListener("keydown", (event) => {
  const typing = event.target.closest?.("input, select, textarea");
  if (event.key === "?" && !typing && page instanceof Worklist) openHelp();
});
window.addEventListener("hashchange", go);
go();
