// Before reveal.js lays out the slides: letters of a slide that is too full are made smaller until all of it fits.
window.addEventListener("load", async () => {
  document.body.classList.add("measuring");
  await Promise.all([...document.images].map((image) => image.decode().catch(() => 0)));
  await document.fonts.ready;
  for (const slide of document.querySelectorAll(".slide")) {
    const wider = (names) => [...slide.querySelectorAll(names)].some((part) => part.scrollWidth > part.clientWidth);
    const beyond = () => [...slide.children].some((part) => part.scrollWidth > slide.clientWidth);
    let size = 30;
    const shrink = () => (slide.style.fontSize = `${(size -= 0.5)}px`);
    slide.classList.add("wide"); // long lines of code: first smaller letters, then broken
    while (wider("pre") && size > 25) shrink();
    slide.classList.remove("wide");
    while ((slide.scrollHeight > slide.clientHeight || wider(".math") || beyond()) && size > 12) shrink();
  }
  document.body.classList.remove("measuring");
  const settings = { width: 1280, height: 720, margin: 0.02, center: false, controls: false, hash: true };
  Reveal.initialize({ ...settings, slideNumber: "c/t", transition: "none", plugins: [RevealNotes] });
});
