// The arrows that open a section of the side bar have no text of their own for readers who hear the page.
for (const arrow of document.querySelectorAll(".bd-sidebar-primary summary")) {
  arrow.setAttribute("aria-label", `Pages under ${arrow.closest("li").querySelector("a").textContent.trim()}`);
}
