// The two things that Data Docs pages do with scripts: filter, and unfold "more info".
function mammoToggle(show) {
  document.querySelectorAll(".hide-succeeded-validation-target-child").forEach((element) => {
    element.parentElement.style.display = show ? "" : "none";
  });
  document.querySelectorAll(".hide-succeeded-validations-column-section-target-child").forEach((element) => {
    const section = element.parentElement.parentElement;
    section.style.display = show ? "" : "none";
    document.querySelectorAll(`a[href$="${section.id}"]`).forEach((link) => {
      link.style.display = show ? "" : "none";
    });
  });
}
window.showAllValidations = () => mammoToggle(true);
window.hideSucceededValidations = () => mammoToggle(false);
document.querySelectorAll('[data-toggle="collapse"]').forEach((link) => {
  const target = document.querySelector(link.getAttribute("href") || link.dataset.target);
  link.addEventListener("click", (event) => {
    event.preventDefault();
    if (target) target.classList.toggle("show");
  });
});
