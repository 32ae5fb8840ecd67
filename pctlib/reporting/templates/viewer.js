"use strict";
// Figures of lines or faces that can be turned: a canvas, no WebGL, nothing loaded. See pctlib.reporting.viewer.
(() => {
  const WIDTH = 560, HEIGHT = 420, MARGIN = 0.9;

  function turned(points, yaw, pitch) {
    const [cy, sy, cp, sp] = [Math.cos(yaw), Math.sin(yaw), Math.cos(pitch), Math.sin(pitch)];
    const out = [];
    for (let i = 0; i < points.length; i += 3) {
      const x = cy * points[i] + sy * points[i + 2], z = cy * points[i + 2] - sy * points[i];
      out.push([x, cp * points[i + 1] - sp * z, sp * points[i + 1] + cp * z]);
    }
    return out;
  }

  function pieces(scene, layer, points) {
    const found = [];
    const add = (corners) => found.push({
      corners, color: layer.color, depth: corners.reduce((sum, c) => sum + c[2], 0) / corners.length,
    });
    for (let i = 0; i < scene.lines.length; i += 2) add([points[scene.lines[i]], points[scene.lines[i + 1]]]);
    for (let i = 0; i < scene.faces.length; i += 3) add([0, 1, 2].map((k) => points[scene.faces[i + k]]));
    return found;
  }

  function shade(corners) {
    const [a, b, c] = corners, u = [0, 1, 2].map((k) => b[k] - a[k]), v = [0, 1, 2].map((k) => c[k] - a[k]);
    const normal = [u[1] * v[2] - u[2] * v[1], u[2] * v[0] - u[0] * v[2], u[0] * v[1] - u[1] * v[0]];
    return 0.35 + 0.65 * Math.abs(normal[2]) / (Math.hypot(...normal) || 1);
  }

  function draw(state) {
    const { context, scene, figure, yaw, pitch, hidden } = state;
    const ratio = window.devicePixelRatio || 1;
    context.setTransform(ratio, 0, 0, ratio, 0, 0);
    context.clearRect(0, 0, WIDTH, HEIGHT);
    const factor = MARGIN * Math.min(WIDTH, HEIGHT) / (2 * state.reach);
    const place = (p) => [WIDTH / 2 + factor * p[0], HEIGHT / 2 + factor * p[1]];
    const all = scene.figures[figure].layers.filter((layer) => !hidden.has(layer.name))
      .flatMap((layer) => pieces(scene, layer, turned(layer.points, yaw, pitch)));
    all.sort((a, b) => b.depth - a.depth); // what is farther away first
    context.lineCap = context.lineJoin = "round";
    for (const { corners, color, depth } of all) {
      context.beginPath();
      corners.map(place).forEach(([x, y], i) => (i ? context.lineTo(x, y) : context.moveTo(x, y)));
      context.strokeStyle = context.fillStyle = color;
      context.globalAlpha = corners.length > 2 ? shade(corners) : 0.55 + 0.45 * (0.5 - depth / (2 * state.reach));
      context.lineWidth = corners.length > 2 ? 0.5 : 3.5 - 1.5 * depth / state.reach;
      if (corners.length > 2) { context.closePath(); context.fill(); } else context.stroke();
    }
    context.globalAlpha = 1;
  }

  function element(tag, text, parent) {
    const made = document.createElement(tag);
    made.textContent = text;
    parent.append(made);
    return made;
  }

  function controls(state, holder, redraw) {
    const bar = element("p", "", holder);
    if (state.scene.figures.length > 1) {
      const chosen = element("select", "", bar);
      chosen.setAttribute("aria-label", "Figure");
      state.scene.figures.forEach((figure, i) => { element("option", figure.name, chosen).value = i; });
      chosen.addEventListener("change", () => { state.figure = Number(chosen.value); redraw(); });
    }
    for (const layer of state.scene.figures[0].layers) {
      const label = element("label", "", bar), box = element("input", "", label);
      box.type = "checkbox";
      box.checked = true;
      const swatch = element("span", "", label);
      Object.assign(swatch.style, { display: "inline-block", width: "1em", height: "0.3em", margin: "0.2em" });
      swatch.style.background = layer.color;
      element("span", `${layer.name} `, label);
      box.addEventListener("change", () => {
        state.hidden[box.checked ? "delete" : "add"](layer.name);
        redraw();
      });
    }
  }

  function mount(holder) {
    if (holder.dataset.mounted) return;
    holder.dataset.mounted = "yes";
    const scene = JSON.parse(holder.dataset.scene), ratio = window.devicePixelRatio || 1;
    const canvas = document.createElement("canvas"), context = canvas.getContext("2d");
    if (!context) return; // the picture inside stays
    canvas.width = WIDTH * ratio;
    canvas.height = HEIGHT * ratio;
    Object.assign(canvas.style, { width: "100%", maxWidth: `${WIDTH}px`, touchAction: "pan-y", cursor: "grab" });
    canvas.tabIndex = 0;
    canvas.setAttribute("role", "img");
    canvas.setAttribute("aria-label", `${scene.label}. Drag, or press the arrow keys, to turn.`);
    const lengths = scene.figures.flatMap((f) => f.layers.flatMap((l) => turned(l.points, 0, 0).map((p) => Math.hypot(...p))));
    const state = { scene, context, figure: 0, yaw: 0.5, pitch: 0.15, hidden: new Set(), reach: Math.max(...lengths, 1) };
    const redraw = () => draw(state);
    const turn = (yaw, pitch) => {
      state.yaw += yaw;
      state.pitch = Math.max(-1.5, Math.min(1.5, state.pitch + pitch));
      redraw();
    };
    const keys = { ArrowLeft: [-0.15, 0], ArrowRight: [0.15, 0], ArrowUp: [0, -0.1], ArrowDown: [0, 0.1] };
    canvas.addEventListener("keydown", (event) => {
      if (!keys[event.key]) return;
      event.preventDefault();
      turn(...keys[event.key]);
    });
    canvas.addEventListener("pointerdown", (event) => canvas.setPointerCapture(event.pointerId));
    canvas.addEventListener("pointermove", (event) => {
      if (event.buttons) turn(event.movementX / 120, event.movementY / 120);
    });
    holder.querySelectorAll("img").forEach((image) => { image.hidden = true; });
    holder.append(canvas);
    controls(state, holder, redraw);
    redraw();
  }

  document.querySelectorAll("[data-scene]").forEach(mount);
})();
