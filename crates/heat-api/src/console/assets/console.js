// Keeps what is marked data-live up to date, and draws plots when they come into view.
"use strict";
(() => {
  const POLL_MS = 10000, SETTLE_MS = 150, PLOTS_AT_ONCE = 2;
  const RETRY_MS = 2000, RETRY_MAX_MS = 60000, REDRAW_MS = 30000;
  let timer = 0, loading = false, again = false;

  // Somebody types or has opened a form: what he works on stays.
  const isBusy = (part) =>
    part.contains(document.activeElement) && document.activeElement.matches("input,select,textarea,summary")
    || part.querySelector("details[open]") !== null;

  // What the server sent of each part: what a script, or the browser, made of it since is no news.
  const served = new Map([...document.querySelectorAll("[data-live]")].map((part) => [part.id, part.innerHTML]));

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
        if (!held || isBusy(held) || served.get(fresh.id) === fresh.innerHTML) continue;
        served.set(fresh.id, fresh.innerHTML);
        const focus = held.contains(document.activeElement) ? document.activeElement.getAttribute("href") : null;
        held.replaceWith(document.importNode(fresh, true));
        if (focus) document.getElementById(fresh.id).querySelector(`[href="${CSS.escape(focus)}"]`)?.focus();
      }
      watchPlots();
      goOn(page);
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

  // Plots: those in view first, the rest after them. A picture stays until the next one is there, and what failed is
  // tried again, more and more seldom.
  const queue = [], inView = new WeakSet(), drawnAt = new WeakMap(), failures = new WeakMap();
  let drawing = 0;
  const seen = new IntersectionObserver((entries) => {
    for (const entry of entries) {
      if (entry.isIntersecting) inView.add(entry.target); else inView.delete(entry.target);
    }
    draw();
  }, { rootMargin: "200px" });

  function watchPlots() {
    for (const figure of document.querySelectorAll("figure[data-plot]:not([data-watched])")) {
      figure.dataset.watched = "1";
      seen.observe(figure);
      queue.push(figure);
    }
    draw();
  }

  function draw() {
    while (drawing < PLOTS_AT_ONCE && queue.length > 0) {
      const next = Math.max(0, queue.findIndex((figure) => inView.has(figure)));
      const [figure] = queue.splice(next, 1);
      drawing++;
      plot(figure).finally(() => { drawing--; draw(); });
    }
  }

  function later(figure) {
    const tries = (failures.get(figure) || 0) + 1;
    failures.set(figure, tries);
    setTimeout(() => { queue.push(figure); draw(); }, Math.min(RETRY_MS * 2 ** (tries - 1), RETRY_MAX_MS));
  }

  async function plot(figure) {
    if (!figure.isConnected) return;
    const room = figure.querySelector(".plot");
    try {
      const answer = await fetch(figure.dataset.plot);
      if (!answer.ok) throw new Error(String(answer.status));
      const picture = new DOMParser().parseFromString(await answer.text(), "image/svg+xml").documentElement;
      room.replaceChildren(document.importNode(picture, true));
      drawnAt.set(figure, Date.now());
      failures.delete(figure);
    } catch {
      if (!room.querySelector("svg")) room.textContent = "…";
      later(figure);
    }
  }

  // The curves go on: a fresh page names the same signals up to now.
  function goOn(page) {
    const signal = (figure) => figure.dataset.plot.split("?")[0];
    const fresh = new Map([...page.querySelectorAll("figure[data-plot]")].map((figure) => [signal(figure), figure]));
    for (const figure of document.querySelectorAll("figure[data-watched]")) {
      const next = fresh.get(signal(figure));
      if (!next || !inView.has(figure) || queue.includes(figure)) continue;
      if (next.dataset.plot === figure.dataset.plot || Date.now() - (drawnAt.get(figure) || Infinity) < REDRAW_MS) continue;
      figure.dataset.plot = next.dataset.plot;
      queue.push(figure);
    }
    draw();
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
