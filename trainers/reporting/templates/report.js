"use strict";
// The browser of games. Text becomes nodes by textContent alone, so nothing a model wrote is ever read as HTML.
(() => {
  const data = document.getElementById("transcripts");
  if (!data) return;
  const PAGE = 20;
  // Names of the game's learning roles and prices, and of what is hidden.
  const rules = JSON.parse(document.getElementById("list").dataset.game);
  const result = (game) => {
    const score = game.accuracy ?? game.score;
    if (game.invalid || game.action === "invalid") return "invalid";
    return score === undefined ? "not scored" : score >= 1 ? "right" : score > 0 ? "partly right" : "wrong";
  };
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
    const node = make("div", rules.learns.includes(role) ? "turn" : "turn other");
    node.append(make("b", "", role), make("p", "", text));
    return node;
  };

  // Class and text of a result.
  const marked = (result) =>
    result === "not scored" ? ["", result] : result === "right" ? ["right", "✓ right"] : ["wrong", "✗ " + result];

  const card = (game) => {
    const node = make("article"), head = make("header");
    head.append(
      make("span", ...marked(game.result)),
      make("span", "", game.costs.map((price, i) => `price of ${rules.usage[i]} ${price}`).join(", ")),
      make("span", "", `reward ${game.reward.toFixed(3)}` + (game.oracle == null ? "" : ` (oracle ${game.oracle.toFixed(3)})`)),
      make("span", "", `${game.set.replace("_", " ")}, ${game.mode}, ${game.episode_id}`),
    );
    node.append(head, turn("query", game.query), ...game.turns.map(([role, text]) => turn(role, text)));
    const more = make("details"), readings = make("ul");
    const answers = game.gold ? ` — ${game.gold.join(" / ")}` : "";
    more.append(make("summary", "", rules.hidden), make("p", "", game.intent + answers), readings);
    for (const [label, answer, weight] of game.readings ?? []) {
      readings.append(make("li", "", label ? `${Math.round(100 * weight)} %  ${label}: ${answer}` : answer));
    }
    node.append(more);
    return node;
  };

  let matches = [], shown = 0;
  const extend = () => {
    list.append(...matches.slice(shown, shown + PAGE).map(card));
    shown = Math.min(matches.length, shown + PAGE);
    more.hidden = shown === matches.length;
    count.textContent = `${matches.length} of ${games.length} games` + (shown < matches.length ? `, the first ${shown} shown` : "");
  };
  const filter = () => {
    const text = form.elements.text.value.toLowerCase();
    const content = (game) => [game.query, game.intent, ...game.turns.map((turn) => turn[1])].join("\n").toLowerCase();
    matches = games.filter((game) => filters.every((name) => !form.elements[name].value || game[name] === form.elements[name].value)
      && (!text || content(game).includes(text)));
    shown = 0;
    list.replaceChildren();
    extend();
  };
  form.addEventListener("input", filter);
  form.addEventListener("submit", (event) => event.preventDefault());
  more.addEventListener("click", extend);
  filter();
})();
