(async () => {
  // Returns, as JSON, what a reader would stumble over: sideways scrolling, faint text, broken pictures.
  const problems = [];
  const page = document.documentElement;
  await document.fonts.ready;
  await Promise.all([...document.images].map((image) => image.decode().catch(() => {
    problems.push(`picture cannot be decoded: ${image.alt.slice(0, 60)}`);
  })));
  if (page.scrollWidth > page.clientWidth) {
    const scrolls = (e) => e && e !== page && (getComputedStyle(e).overflowX !== "visible" || scrolls(e.parentElement));
    const wide = [...document.body.querySelectorAll("*")]
      .filter((e) => e.getBoundingClientRect().right > page.clientWidth + 1 && !scrolls(e.parentElement))
      .map((e) => `${e.tagName.toLowerCase()}.${e.className}`);
    problems.push(`page is ${page.scrollWidth} px wide in a window of ${page.clientWidth} px: ${wide.slice(0, 4)}`);
  }

  const channels = (text) => {
    const [r, g, b, a = 1] = text.match(/[\d.]+/g).map(Number);
    return { rgb: [r, g, b], a };
  };
  const over = (top, below) => top.rgb.map((c, i) => c * top.a + below[i] * (1 - top.a));
  const background = (element) => {
    if (!element) return [255, 255, 255];
    const own = channels(getComputedStyle(element).backgroundColor);
    return own.a === 1 ? own.rgb : over(own, background(element.parentElement));
  };
  const luminance = (rgb) => {
    const [r, g, b] = rgb.map((c) => (c / 255 <= 0.04045 ? c / 255 / 12.92 : ((c / 255 + 0.055) / 1.055) ** 2.4));
    return 0.2126 * r + 0.7152 * g + 0.0722 * b;
  };
  const faint = new Set();
  const texts = document.createTreeWalker(document.body, NodeFilter.SHOW_TEXT);
  while (texts.nextNode()) {
    const element = texts.currentNode.parentElement;
    if (!texts.currentNode.data.trim() || !element.checkVisibility({ opacityProperty: true })) continue;
    if (element.closest("script, style")) continue;
    const style = getComputedStyle(element);
    const below = background(element);
    const [dark, light] = [luminance(over(channels(style.color), below)), luminance(below)].sort((a, b) => a - b);
    const ratio = (light + 0.05) / (dark + 0.05);
    const size = parseFloat(style.fontSize);
    const large = size >= 24 || (size >= 18.66 && Number(style.fontWeight) >= 700);
    if (ratio < (large ? 3 : 4.5)) {
      faint.add(`contrast ${ratio.toFixed(2)} of ${element.tagName.toLowerCase()}.${element.className}`);
    }
  }
  return JSON.stringify([...problems, ...faint]);
})()
