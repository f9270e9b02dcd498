// Keeps the marked parts of a page fresh: the server's events say that something is new, the page is fetched anew, and the
// parts whose content differs are replaced. Everything works without it.
"use strict";
(() => {
  const body = document.body;
  const skew = Date.parse(body.dataset.now) - Date.now();
  const note = document.getElementById("live-note");
  const state = document.getElementById("live-state");

  // Times seen from now, in the words that the server uses.
  const span = (s) => s < 120 ? s + " s" : s < 7200 ? Math.floor(s / 60) + " min"
    : s < 172800 ? Math.floor(s / 3600) + " h" : Math.floor(s / 86400) + " days";
  const relative = (ms) => {
    const s = Math.round(ms / 1000);
    return Math.abs(s) < 5 ? "now" : s > 0 ? "in " + span(s) : span(-s) + " ago";
  };
  const tick = () => {
    const now = Date.now() + skew;
    for (const e of document.querySelectorAll(".rel[data-at]")) {
      const words = relative(Date.parse(e.dataset.at) - now);
      if (e.textContent !== words) e.textContent = words;
    }
  };
  tick();
  setInterval(tick, 1000);

  if (!("livePage" in body.dataset)) return;

  const text = (e) => {
    const c = e.cloneNode(true);
    for (const r of c.querySelectorAll(".rel")) r.remove();
    for (const d of c.querySelectorAll("details[open]")) d.open = false;
    return c.innerHTML;
  };

  // What a person has typed or chosen in a part is not thrown away by a change that leaves its question as it was.
  const keep = (was, is) => "keep" in was.dataset && was.dataset.keep === is.dataset.keep;

  const typing = (part) => {
    const a = document.activeElement;
    return a && part.contains(a) && /^(INPUT|TEXTAREA|SELECT)$/.test(a.tagName) && !("keep" in part.dataset);
  };

  // What has the focus is found again by its id, or by what it is and says.
  const stops = "a, button, summary, input, select, textarea, [tabindex]";
  const key = (e) => e.id || e.tagName + " " + (e.getAttribute("href") || "") + " " + text(e);

  const replace = (was, is) => {
    const focused = was.contains(document.activeElement) ? key(document.activeElement) : "";
    const open = Array.from(was.querySelectorAll("details[id][open]"), (d) => d.id);
    for (const id of open) {
      const d = is.querySelector("#" + CSS.escape(id));
      if (d) d.open = true;
    }
    for (const f of was.querySelectorAll("input[id]:not([type=hidden]), textarea[id]")) {
      const g = is.querySelector("#" + CSS.escape(f.id));
      if (g && f.value !== f.defaultValue && f.type !== "checkbox" && f.type !== "radio") g.value = f.value;
    }
    was.replaceWith(is);
    const f = focused && Array.from(is.querySelectorAll(stops)).find((e) => key(e) === focused);
    if (f) f.focus({ preventScroll: true });
  };

  let busy = false, again = false;
  const refresh = async () => {
    if (busy) { again = true; return; }
    busy = true;
    try {
      const url = new URL(location.href);
      url.hash = "";
      const r = await fetch(url, { headers: { "X-Fragment": "main" }, credentials: "same-origin", cache: "no-store" });
      if (r.status === 401) { say("You are signed out. Reload the page to sign in."); stop(); return; }
      if (!r.ok) { say("This page could not be updated just now; it is tried again."); return; }
      const fresh = new DOMParser().parseFromString(await r.text(), "text/html");
      const changed = [];
      for (const was of document.querySelectorAll("[data-live][id]")) {
        const is = fresh.getElementById(was.id);
        if (!is || text(was) === text(is) || keep(was, is) || typing(was)) continue;
        replace(was, document.importNode(is, true));
        changed.push(was.dataset.name);
      }
      tick();
      if (changed.length) note.textContent = "Updated: " + changed.join(", ") + ".";
      say("This page keeps itself up to date.");
    } catch {
      say("The server cannot be reached; what you see may be old.");
    } finally {
      busy = false;
      if (again) { again = false; soon(); }
    }
  };

  const say = (words) => { if (state.textContent !== words) state.textContent = words; };

  // Many events in a row make one update, at most every two seconds.
  let timer = 0, last = 0;
  const soon = () => {
    if (timer) return;
    timer = setTimeout(() => { timer = 0; last = Date.now(); refresh(); }, Math.max(300, last + 2000 - Date.now()));
  };

  const about = (event) => {
    if (!body.dataset.case) return true;
    try {
      const c = JSON.parse(event.data).case;
      return !c || c === body.dataset.case;
    } catch {
      return true;
    }
  };

  let source, slow = 0;
  const stop = () => { if (source) source.close(); clearInterval(slow); };
  const listen = () => {
    source = new EventSource("/v1/events");
    const hear = (event) => { if (about(event)) soon(); };
    source.onmessage = hear;
    for (const kind of body.dataset.events.split(" ")) source.addEventListener(kind, hear);
    source.addEventListener("end", soon); // the session or its rights ended: the next fetch tells
    source.onopen = () => { say("This page keeps itself up to date."); soon(); };
    source.onerror = () => say("The live connection is lost; the page looks for news every 30 seconds.");
  };
  listen();
  slow = setInterval(soon, 30000);
  document.addEventListener("visibilitychange", () => { if (!document.hidden) soon(); });
  addEventListener("pagehide", stop);
  addEventListener("pageshow", (e) => { if (e.persisted) location.reload(); });
})();
