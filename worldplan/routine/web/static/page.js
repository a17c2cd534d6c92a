"use strict";

for (const button of document.querySelectorAll("[data-print]")) {
  button.addEventListener("click", () => window.print());
}

for (const field of document.querySelectorAll("[data-filter]")) {
  const rows = document.querySelectorAll(`${field.dataset.filter} tbody tr`);
  field.addEventListener("input", () => {
    const wanted = field.value.trim().toLowerCase();
    for (const row of rows) row.hidden = !row.querySelector("th").textContent.toLowerCase().includes(wanted);
  });
}

for (const form of document.querySelectorAll("[data-unsaved]")) {
  let unsaved = false;
  form.addEventListener("input", () => { unsaved = true; });
  form.addEventListener("submit", () => { unsaved = false; });
  window.addEventListener("beforeunload", (event) => { if (unsaved) event.preventDefault(); });
}

const question = document.getElementById("question");
if (question) {
  const answer = document.getElementById("answer");
  let waiting = 0, running = null;
  const ask = async () => {
    running?.abort();
    running = new AbortController();
    const words = new URLSearchParams(new FormData(question));
    history.replaceState(null, "", `?${words}`);
    words.set("part", "answer");
    answer.setAttribute("aria-busy", "true");
    try {
      const response = await fetch(`${question.dataset.answer}?${words}`, { signal: running.signal });
      answer.innerHTML = await response.text(); // escaped by the server's templates
    } catch (error) {
      if (error.name === "AbortError") return;
      answer.textContent = "The server does not answer.";
    }
    answer.removeAttribute("aria-busy");
  };
  question.addEventListener("input", (event) => {
    const shown = event.target.parentElement.querySelector("output");
    if (shown) shown.textContent = `+${event.target.value}`;
    if (event.target.id === "other") return; // while a name is typed
    clearTimeout(waiting);
    waiting = setTimeout(ask, 250);
  });
  question.addEventListener("change", (event) => { if (event.target.id === "other") ask(); });
  question.addEventListener("submit", (event) => { event.preventDefault(); ask(); });
}
