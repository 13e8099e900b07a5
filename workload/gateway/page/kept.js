// What the browser keeps: who the user is, how far the page has seen, and which questions have no answer yet.

export const kept = (() => {
  const prefix = `chatbot:${location.pathname}:`;
  const inMemory = new Map();
  let store = null;
  try {
    localStorage.setItem(`${prefix}try`, "");
    localStorage.removeItem(`${prefix}try`);
    store = localStorage;
  } catch {
    // A browser that keeps nothing: the conversation lasts as long as the page.
  }
  const set = (key, value) => {
    inMemory.set(key, value);
    try {
      store?.setItem(prefix + key, value);
    } catch {
      // Full: what is in memory still counts in this page.
    }
  };
  const remove = (key) => {
    inMemory.delete(key);
    store?.removeItem(prefix + key);
  };
  const keys = () => {
    if (!store) return [...inMemory.keys()];
    return Object.keys(store).filter((key) => key.startsWith(prefix)).map((key) => key.slice(prefix.length));
  };
  return {
    prefix,
    lasting: store !== null,
    get: (key) => (store ? store.getItem(prefix + key) : null) ?? inMemory.get(key) ?? null,
    set,
    remove,
    clear: () => keys().forEach(remove),
    questions() {
      const found = [];
      for (const key of keys().filter((key) => key.startsWith("ask:"))) {
        try {
          found.push({ id: key.slice(4), ...JSON.parse(this.get(key)) });
        } catch {
          remove(key);
        }
      }
      return found.sort((a, b) => a.at - b.at);
    },
  };
})();

export const randomId = () =>
  Array.from(crypto.getRandomValues(new Uint8Array(16)), (byte) => byte.toString(16).padStart(2, "0")).join("");

export function userId() {
  const user = kept.get("user");
  if (/^[0-9a-f]{32}$/.test(user ?? "")) return user;
  kept.set("user", randomId());
  return kept.get("user");
}
