// Photos that come by dragging, pasting or the file dialog.

import { $ } from "./dom.js";

export function acceptPhotos(take) {
  const zone = $("drop");
  let depth = 0;
  const over = (on) => zone.classList.toggle("over", on);
  const hasFiles = (event) => [...(event.dataTransfer?.types || [])].includes("Files");
  // the whole page takes a drop: one that misses must not make the browser leave the page
  document.addEventListener("dragenter", (event) => { if (hasFiles(event)) { depth += 1; over(true); } });
  document.addEventListener("dragleave", (event) => { if (hasFiles(event) && --depth <= 0) { depth = 0; over(false); } });
  document.addEventListener("dragover", (event) => { if (hasFiles(event)) { event.preventDefault(); event.dataTransfer.dropEffect = "copy"; } });
  document.addEventListener("drop", (event) => {
    if (!hasFiles(event)) return;
    event.preventDefault();
    depth = 0;
    over(false);
    const [file] = event.dataTransfer.files;
    if (file) take(file);
  });
  document.addEventListener("paste", (event) => {
    const file = [...(event.clipboardData?.files || [])].find((one) => one.type.startsWith("image/"));
    if (file) { event.preventDefault(); take(file); }
  });
  $("file").addEventListener("change", () => {
    const [file] = $("file").files;
    $("file").value = ""; // the same file may be chosen again
    if (file) take(file);
  });
}
