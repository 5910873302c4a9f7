"use strict";
(() => {
  const find = (id) => document.getElementById(id);
  const steps = [...document.querySelectorAll("ol > li")];
  const last = steps.length - 1;
  const figure = document.querySelector("figure");
  const now = find("now");
  const slider = find("slider");

  // data-frames="0-3 7" : seen in these steps, and in no others
  const ranges = (text) => text.split(" ").map((part) => part.split("-").map(Number));
  const changing = [...document.querySelectorAll("[data-frames]")].map((element) => [element, ranges(element.dataset.frames)]);
  const seen = (frames, k) => frames.some(([from, to = from]) => from <= k && k <= to);

  let current = -1;
  let timer = null;

  function show(k) {
    k = Math.max(0, Math.min(last, k));
    if (k === current) return;
    current = k;
    for (const [element, frames] of changing) element.classList.toggle("away", !seen(frames, k));
    mark("new", steps[k].dataset.new);
    mark("read", steps[k].dataset.read);
    now.replaceChildren(...[...steps[k].childNodes].map((node) => node.cloneNode(true)));
    slider.value = k;
    slider.setAttribute("aria-valuetext", steps[k].querySelector("h2").textContent);
    find("first").disabled = find("previous").disabled = k === 0;
    find("next").disabled = k === last;
    if (k === last) pause();
    if (location.protocol !== "about:") history.replaceState(null, "", "#" + k); // a notebook's frame has no address
    centre();
  }

  function mark(name, numbers) {
    for (const text of figure.querySelectorAll("." + name)) text.classList.remove(name);
    for (const number of (numbers || "").split(" ").filter(Boolean)) {
      for (const text of figure.querySelectorAll(`[data-number="${number}"]:not(.away, :empty)`)) text.classList.add(name);
    }
  }

  // Where the picture is larger than its frame: bring what is new into view.
  function centre() {
    const boxes = [...figure.querySelectorAll(".new")].map((text) => text.getBoundingClientRect());
    if (!boxes.length) return;
    const frame = figure.getBoundingClientRect();
    const middle = (low, high) => (Math.min(...boxes.map((box) => box[low])) + Math.max(...boxes.map((box) => box[high]))) / 2;
    const calm = matchMedia("(prefers-reduced-motion: reduce)").matches;
    figure.scrollBy({
      left: middle("left", "right") - (frame.left + frame.right) / 2,
      top: middle("top", "bottom") - (frame.top + frame.bottom) / 2,
      behavior: calm ? "auto" : "smooth",
    });
  }

  function play() {
    if (current === last) show(0);
    timer = setInterval(() => show(current + 1), 2500);
    now.setAttribute("aria-live", "off"); // or a reader would never come to the end of a sentence
    label("Pause", "\u275a\u275a Pause");
  }

  function pause() {
    clearInterval(timer);
    timer = null;
    now.setAttribute("aria-live", "polite");
    label("Play", "\u25b6 Play");
  }

  function label(name, text) {
    find("play").setAttribute("aria-label", name);
    find("play").textContent = text;
  }

  function go(k) {
    pause();
    show(k);
  }

  const toggle = () => (timer === null ? play() : pause());
  const keys = {
    ArrowRight: () => go(current + 1),
    ArrowLeft: () => go(current - 1),
    Home: () => go(0),
    End: () => go(last),
    " ": toggle,
  };

  find("first").addEventListener("click", keys.Home);
  find("previous").addEventListener("click", keys.ArrowLeft);
  find("next").addEventListener("click", keys.ArrowRight);
  find("play").addEventListener("click", toggle);
  slider.addEventListener("input", () => go(Number(slider.value)));
  document.addEventListener("keydown", (event) => {
    const own = event.target === slider || (event.key === " " && event.target.tagName === "BUTTON"); // they know these keys
    if (!(event.key in keys) || own || event.altKey || event.ctrlKey || event.metaKey) return;
    event.preventDefault();
    keys[event.key]();
  });
  window.addEventListener("hashchange", () => go(Number(location.hash.slice(1)) || 0));

  document.body.classList.add("stepping");
  show(Number(location.hash.slice(1)) || 0);
})();
