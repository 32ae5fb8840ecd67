// A pose whose tokens are exchanged: SVG, nothing loaded. See pctlib.reporting.walks.
(() => {
  const drawn = (tag, attributes, parent) => {
    const made = document.createElementNS("http://www.w3.org/2000/svg", tag);
    for (const [name, value] of Object.entries(attributes)) made.setAttribute(name, value);
    parent?.append(made);
    return made;
  };
  const control = (tag, words, parent) => {
    const label = document.createElement("label"), text = document.createElement("span"), made = document.createElement(tag);
    text.textContent = words;
    label.append(text, made);
    parent.append(label);
    return made;
  };
  const options = (list, names) => list.replaceChildren(...names.map((name, i) => new Option(name, i)));
  const decode = (text) => {
    const view = new DataView(Uint8Array.from(atob(text), (letter) => letter.charCodeAt(0)).buffer);
    return Array.from({ length: view.byteLength / 2 }, (_, i) => view.getInt16(2 * i, true));
  };

  const mount = (holder) => {
    if (holder.dataset.mounted) return;
    holder.dataset.mounted = "yes";
    const { label, controls: names, unit, side, joints, limbs, poses } = JSON.parse(holder.dataset.walks);
    const numbers = poses.map((pose) => decode(pose.points));
    const controls = document.createElement("div");
    const [pose, token, entry] = ["select", "select", "input"].map((tag, i) => control(tag, names[i], controls));
    entry.type = "range";
    entry.min = 0;
    const play = document.createElement("button");
    play.type = "button";
    play.textContent = "Play";
    const words = document.createElement("p");
    words.setAttribute("role", "status");
    controls.append(play, words);
    const picture = drawn("svg", { viewBox: `0 0 ${side} ${side}`, role: "img", "aria-label": label });
    holder.replaceChildren(picture, controls);
    let timer = null;

    const points = (chosen) => {
      const before = poses[pose.value].tokens.slice(0, token.value).reduce((sum, one) => sum + one.entries.length, 0);
      const start = 2 * joints.length * (before + chosen);
      return joints.map((_, joint) => numbers[pose.value].slice(start + 2 * joint, start + 2 * joint + 2));
    };
    const known = ([x]) => x > -32768;
    const line = ([x1, y1], [x2, y2], stroke, width) => [x1, x2].every((x) => known([x])) &&
      drawn("line", { x1, y1, x2, y2, stroke, "stroke-width": width, "stroke-linecap": "round" }, picture);
    const draw = () => {
      const own = points(0), moved = points(Number(entry.value));
      picture.replaceChildren();
      const pictures = poses[pose.value].pictures, behind = pictures[Math.max(0, entry.value - 1)];
      if (behind) drawn("image", { href: behind, width: side, height: side }, picture);
      limbs.forEach(([a, b]) => line(own[a], own[b], behind ? "#ffffff" : "#c9c9c9", 14));
      limbs.forEach(([a, b, color]) => line(moved[a], moved[b], color, 9));
      moved.filter(known).forEach(([cx, cy]) => drawn("circle", { cx, cy, r: 9, fill: "#ffffff", stroke: "#444444", "stroke-width": 3 }, picture));
      own.forEach((place, joint) => line(place, moved[joint], behind ? "#ffdd33" : "#1d1f24", 5));
      const ways = own.map(([x, y], joint) => known(own[joint]) && known(moved[joint])
        ? poses[pose.value].step * Math.hypot(moved[joint][0] - x, moved[joint][1] - y) : NaN);
      const lengths = ways.filter((way) => !Number.isNaN(way));
      const most = ways.indexOf(Math.max(...lengths));
      const mean = lengths.reduce((sum, way) => sum + way, 0) / lengths.length;
      const name = poses[pose.value].tokens[token.value].entries[entry.value];
      const far = `Farthest: ${joints[most]}, ${ways[most].toFixed(1)} ${unit}; mean of all joints ${mean.toFixed(1)} ${unit}.`;
      entry.setAttribute("aria-valuetext", name);
      words.textContent = `${names[2]} ${name}. ${Number(entry.value) ? far : ""}`;
    };
    const stop = () => { clearInterval(timer); timer = null; play.textContent = "Play"; };
    const offer = () => {
      const count = poses[pose.value].tokens[token.value].entries.length;
      entry.max = count - 1;
      entry.disabled = play.disabled = count < 2;
      entry.value = Math.min(1, count - 1);
      draw();
    };
    play.addEventListener("click", () => {
      if (timer) return stop();
      play.textContent = "Stop";
      timer = setInterval(() => {
        entry.value = (Number(entry.value) + 1) % (Number(entry.max) + 1);
        draw();
      }, 700);
    });
    pose.addEventListener("change", () => {
      const kept = token.value;
      options(token, poses[pose.value].tokens.map(({ name }) => name));
      token.value = kept;
      offer();
    });
    token.addEventListener("change", offer);
    entry.addEventListener("input", () => { stop(); draw(); });
    options(pose, poses.map(({ name }) => name));
    options(token, poses[0].tokens.map(({ name }) => name));
    offer();
  };

  document.querySelectorAll("[data-walks]").forEach(mount);
})();
