"use strict";
// The browser of games. Text becomes nodes by textContent alone, so nothing a model wrote is ever read as HTML.
(() => {
  const data = document.getElementById("transcripts");
  if (!data) return;
  const PAGE = 20;
  const result = (game) => game.invalid ? "invalid" : game.accuracy >= 1 ? "right" : game.accuracy > 0 ? "partly right" : "wrong";
  const games = JSON.parse(data.textContent).map((game) => ({ ...game, result: result(game) }));
  const form = document.getElementById("filters"), list = document.getElementById("list");
  const count = document.getElementById("count"), more = document.getElementById("more");
  const filters = ["set", "mode", "action", "result"];

  const make = (tag, className, text) => {
    const node = document.createElement(tag);
    if (className) node.className = className;
    if (text !== undefined) node.textContent = text;
    return node;
  };

  for (const name of filters) {
    for (const value of new Set(games.map((game) => game[name]))) {
      form.elements[name].append(new Option(String(value).replace("_", " "), value));
    }
  }

  const turn = (role, text) => {
    const node = make("div", "turn " + (role === "user" ? "user" : "assistant"));
    node.append(make("b", "", role), make("p", "", text));
    return node;
  };

  const card = (game) => {
    const node = make("article"), head = make("header");
    head.append(
      make("span", game.result === "right" ? "right" : "wrong", (game.result === "right" ? "✓ " : "✗ ") + game.result),
      make("span", "", `question ${game.costs[0]}, word ${game.costs[1]}`),
      make("span", "", `reward ${game.reward.toFixed(3)} (oracle ${game.oracle.toFixed(3)})`),
      make("span", "", `${game.set.replace("_", " ")}, ${game.mode}, ${game.episode_id}`),
    );
    node.append(head, turn("user", game.query), ...game.turns.map(([role, text]) => turn(role, text)));
    const more = make("details"), readings = make("ul");
    more.append(make("summary", "", "what was meant"), make("p", "", `${game.intent} — ${game.gold.join(" / ")}`), readings);
    for (const [label, answer, weight] of game.readings) {
      readings.append(make("li", "", `${Math.round(100 * weight)} %  ${label}: ${answer}`));
    }
    node.append(more);
    return node;
  };

  let found = [], shown = 0;
  const extend = () => {
    list.append(...found.slice(shown, shown + PAGE).map(card));
    shown = Math.min(found.length, shown + PAGE);
    more.hidden = shown === found.length;
    count.textContent = `${found.length} of ${games.length} games` + (shown < found.length ? `, the first ${shown} shown` : "");
  };
  const filter = () => {
    const text = form.elements.text.value.toLowerCase();
    const said = (game) => [game.query, game.intent, ...game.turns.map((turn) => turn[1])].join("\n").toLowerCase();
    found = games.filter((game) => filters.every((name) => !form.elements[name].value || game[name] === form.elements[name].value)
      && (!text || said(game).includes(text)));
    shown = 0;
    list.replaceChildren();
    extend();
  };
  form.addEventListener("input", filter);
  form.addEventListener("submit", (event) => event.preventDefault());
  more.addEventListener("click", extend);
  filter();
})();
