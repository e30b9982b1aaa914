// Keeps what is marked data-live up to date, and draws plots when they come into view.
"use strict";
(() => {
  const POLL_MS = 10000, SETTLE_MS = 150, RETRY_MS = 2000, PLOTS_AT_ONCE = 2;
  let timer = 0, loading = false, again = false;

  // Somebody types or has opened a form: what he works on stays.
  const isBusy = (part) =>
    part.contains(document.activeElement) && document.activeElement.matches("input,select,textarea,summary")
    || part.querySelector("details[open]") !== null;

  async function refresh() {
    if (loading) { again = true; return; }
    loading = true;
    try {
      const address = new URL(location.href);
      address.searchParams.delete("done");
      const answer = await fetch(address, { headers: { "accept": "text/html" }, redirect: "error" });
      if (!answer.ok) throw new Error(String(answer.status));
      const page = new DOMParser().parseFromString(await answer.text(), "text/html");
      for (const fresh of page.querySelectorAll("[data-live]")) {
        const held = document.getElementById(fresh.id);
        if (!held || isBusy(held) || held.innerHTML === fresh.innerHTML) continue;
        const focus = held.contains(document.activeElement) ? document.activeElement.getAttribute("href") : null;
        held.replaceWith(document.importNode(fresh, true));
        if (focus) document.getElementById(fresh.id).querySelector(`[href="${CSS.escape(focus)}"]`)?.focus();
      }
      watchPlots();
      said(true);
    } catch { said(false); }
    loading = false;
    if (again) { again = false; soon(); }
  }

  function soon() { clearTimeout(timer); timer = setTimeout(refresh, SETTLE_MS); }

  // One line that says that what stands here is old.
  function said(isWell) {
    let line = document.getElementById("lost");
    if (isWell) { line?.remove(); return; }
    if (line) return;
    line = document.createElement("p");
    line.id = "lost";
    line.setAttribute("role", "alert");
    line.textContent = document.body.dataset.lost;
    document.body.prepend(line);
  }

  const waiting = [];
  let drawing = 0;
  const seen = new IntersectionObserver((entries) => {
    for (const entry of entries) {
      if (!entry.isIntersecting) continue;
      seen.unobserve(entry.target);
      waiting.push(entry.target);
    }
    draw();
  }, { rootMargin: "200px" });

  function watchPlots() {
    for (const figure of document.querySelectorAll("figure[data-plot]:not([data-watched])")) {
      figure.dataset.watched = "1";
      seen.observe(figure);
    }
  }

  async function draw() {
    while (drawing < PLOTS_AT_ONCE && waiting.length > 0) {
      const figure = waiting.shift();
      drawing++;
      plot(figure).finally(() => { drawing--; draw(); });
    }
  }

  async function plot(figure) {
    if (!figure.isConnected) return;
    try {
      const answer = await fetch(figure.dataset.plot);
      if (answer.status === 503) { setTimeout(() => { waiting.push(figure); draw(); }, RETRY_MS); return; }
      if (!answer.ok) throw new Error(String(answer.status));
      const picture = new DOMParser().parseFromString(await answer.text(), "image/svg+xml").documentElement;
      figure.querySelector(".plot").replaceChildren(document.importNode(picture, true));
    } catch { figure.querySelector(".plot").textContent = "–"; }
  }

  const events = new EventSource("/api/v1/events");
  events.addEventListener("incident", soon);
  events.addEventListener("reset", soon);
  events.addEventListener("open", soon);
  setInterval(() => { if (!document.hidden) soon(); }, POLL_MS);
  document.addEventListener("visibilitychange", () => { if (!document.hidden) soon(); });
  // The browser's own time as a form wants it.
  for (const button of document.querySelectorAll("[data-print]")) button.addEventListener("click", () => print());
  watchPlots();
})();
