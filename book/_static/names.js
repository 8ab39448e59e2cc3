// What the theme and Sphinx leave unsaid for readers who hear the page.
// The arrows that open a section of the side bar have no text of their own.
for (const arrow of document.querySelectorAll(".bd-sidebar-primary summary")) {
  arrow.setAttribute("aria-label", `Pages under ${arrow.closest("li").querySelector("a").textContent.trim()}`);
}
// The bibliography is called a list, and its entries are not called its items.
for (const entry of document.querySelectorAll(".citation-list > .citation")) {
  entry.setAttribute("role", "listitem");
}
