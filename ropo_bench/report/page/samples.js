// The browser of samples: a page of matches, and one battle with its answers side by side.
// Whatever a model wrote reaches the document as textContent only.

const PAGE = 12; // matches in the list
const ACROSS = 4; // answers beside each other at most, in lines of equal length

function element(tag, className, text) {
  const made = document.createElement(tag);
  if (className) made.className = className;
  if (text !== undefined) made.textContent = text;
  return made;
}

// Characters that draw nothing or turn their neighbours around are named. Tabs and line ends stay.
const UNSEEN = /[\0-\x08\x0b-\x1f\x7f-\x9f\u200e\u200f\u202a-\u202e\u2066-\u2069\ufeff]/g;

function visible(text) {
  return text.replace(UNSEEN, (letter) => `‹U+${letter.charCodeAt(0).toString(16).toUpperCase().padStart(4, "0")}›`);
}

// A paragraph of somebody's text, in its own direction, the searched words marked.
function textBlock(text, search) {
  const block = element("p", "text");
  block.dir = "auto";
  const shown = visible(text);
  const lower = shown.toLowerCase();
  const wanted = search.toLowerCase();
  let start = 0;
  // Where lower case changes the length (İ), places differ: such a text is shown unmarked.
  while (wanted && lower.length === shown.length) {
    const found = lower.indexOf(wanted, start);
    if (found < 0) break;
    block.append(shown.slice(start, found), element("mark", "", shown.slice(found, found + wanted.length)));
    start = found + wanted.length;
  }
  block.append(shown.slice(start));
  return block;
}

function turnBlocks(turns, labels, search) {
  return turns.flatMap((turn, i) => {
    const head = labels[i] ? [element("p", "turn", labels[i])] : [];
    return [...head, textBlock(turn, search)];
  });
}

function number(value, battle) {
  return value === null ? "–" : value.toFixed(battle.decimals);
}

function verdictText(answer, battle) {
  if (answer.status !== "scored") return answer.status;
  return [answer.verdict, answer.value === null ? null : number(answer.value, battle)].filter(Boolean).join(" · ");
}

function answerBlock(answer, battle, choices, severalSeeds) {
  const state = answer.status === "scored" ? answer.verdict : "unscored";
  const block = element("article", `answer ${state ?? ""}`);
  block.append(element("h4", "", severalSeeds ? `${answer.row}, seed ${answer.seed}` : answer.row));
  block.append(element("p", `verdict ${state ?? ""}`, `${verdictText(answer, battle)} · ${answer.tokens} tokens`));
  const many = answer.turns.length > 1;
  const labels = answer.turns.map((_, i) => {
    const grade = answer.grades.length > 1 ? `, ${number(answer.grades[i] ?? null, battle)}` : "";
    return many ? `Turn ${i + 1}${grade}` : "";
  });
  block.append(...turnBlocks(answer.turns, labels, choices.text));
  return block;
}

function opponentBlock(battle, choices) {
  const block = element("article", "answer");
  block.append(element("h4", "", battle.opponent), element("p", "verdict", "the opponent"));
  block.append(...turnBlocks(battle.opponentTurns, [], choices.text));
  return block;
}

function battleBlocks(battle, choices) {
  const prompt = element("div", "prompt");
  const against = `${battle.metric}, verdicts against ${battle.opponent}`;
  prompt.append(element("p", "about", [battle.task, battle.category, battle.id, against].filter(Boolean).join(" · ")));
  const many = battle.prompt.length > 1;
  prompt.append(...turnBlocks(battle.prompt, battle.prompt.map((_, i) => (many ? `Prompt, turn ${i + 1}` : "")), choices.text));
  const answers = element("div", "answers");
  const shown = shownAnswers(battle, choices);
  const severalSeeds = new Set(battle.answers.map((each) => each.seed)).size > 1;
  if (battle.opponentTurns.length) answers.append(opponentBlock(battle, choices));
  answers.append(...shown.map((each) => answerBlock(each, battle, choices, severalSeeds)));
  const lines = Math.ceil(answers.children.length / ACROSS);
  answers.style.setProperty("--across", String(Math.ceil(answers.children.length / lines) || 1));
  return [prompt, answers];
}

function startSamples() {
  const byId = (id) => document.getElementById(id);
  const data = JSON.parse(byId("battles").textContent);
  const form = byId("filters");
  let found = [];
  let at = 0;

  const chosen = () => {
    const fields = new FormData(form);
    const or = (name) => fields.get(name) || null;
    return {
      task: or("task"), category: or("category"), text: fields.get("text"), quick: fields.get("quick"),
      rows: new Set(fields.getAll("row")), seed: fields.get("seed") ? Number(fields.get("seed")) : null,
      a: or("a"), b: or("b"),
    };
  };

  function show() {
    const choices = chosen();
    const battle = found[at];
    const total = data.length.toLocaleString("en");
    byId("status").textContent = battle
      ? `${(at + 1).toLocaleString("en")} of ${found.length.toLocaleString("en")} matches, ${total} prompts in all`
      : `No match among ${total} prompts`;
    // Not "disabled", which would take the focus from who pages by keyboard.
    byId("previous").setAttribute("aria-disabled", String(at <= 0));
    byId("next").setAttribute("aria-disabled", String(at >= found.length - 1));
    byId("battle").replaceChildren(...(battle ? battleBlocks(battle, choices) : []));
    const first = at - (at % PAGE);
    byId("matches").replaceChildren(...found.slice(first, first + PAGE).map((each, i) => entry(each, first + i)));
  }

  function entry(battle, index) {
    const item = element("li");
    const button = element("button", "", visible(battle.prompt[0] ?? battle.id).slice(0, 80));
    button.type = "button";
    button.dir = "auto";
    button.setAttribute("aria-current", String(index === at));
    button.append(element("small", "", [battle.task, battle.category].filter(Boolean).join(" · ")));
    button.addEventListener("click", () => go(index));
    item.append(button);
    return item;
  }

  function go(index) {
    const inList = byId("matches").contains(document.activeElement);
    at = Math.min(Math.max(index, 0), found.length - 1);
    show();
    if (inList) byId("matches").children[at % PAGE].firstChild.focus(); // the entry that had it is gone
  }

  function filter() {
    found = matching(data, chosen());
    at = 0;
    show();
  }

  form.addEventListener("input", filter);
  form.addEventListener("submit", (event) => event.preventDefault());
  byId("previous").addEventListener("click", () => go(at - 1));
  byId("next").addEventListener("click", () => go(at + 1));
  byId("browser").addEventListener("keydown", (event) => {
    const step = { ArrowLeft: -1, ArrowRight: 1, PageUp: -PAGE, PageDown: PAGE }[event.key];
    if (!step || event.altKey || event.ctrlKey || event.metaKey) return;
    event.preventDefault();
    go(at + step);
  });
  filter();
}
