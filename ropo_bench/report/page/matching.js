// Which battles the reader asked for. Pure functions of the data block and of the choices; no document here.
//
// A battle: {task, id, category, prompt: [turn], metric, decimals, opponent, opponentTurns: [turn], answers: [answer]}.
// An answer: {row, seed, turns, tokens, value, grades, status, verdict}. Choices: {task, category, text, quick,
// rows: Set of names, seed: number or null for all, a, b}.

function shownAnswers(battle, choices) {
  return battle.answers.filter(
    (each) => choices.rows.has(each.row) && (choices.seed === null || each.seed === choices.seed),
  );
}

// Whether row A beats row B in one seed at least: by the verdict where B is the opponent, else by the higher value.
function won(battle, choices) {
  const of = (row) => battle.answers.filter((each) => each.row === row);
  const sameSeed = (each) => choices.seed === null || each.seed === choices.seed;
  const mine = of(choices.a).filter(sameSeed);
  if (choices.b === null || choices.b === battle.opponent) return mine.some((each) => each.verdict === "won");
  const theirs = of(choices.b);
  return mine.some((each) => {
    const other = theirs.find((one) => one.seed === each.seed);
    return other && each.value !== null && other.value !== null && each.value > other.value;
  });
}

function flipped(battle, choices) {
  const verdicts = new Set(shownAnswers(battle, choices).map((each) => each.verdict));
  return verdicts.has("won") && verdicts.has("lost");
}

function unscored(battle, choices) {
  return shownAnswers(battle, choices).some((each) => each.status !== "scored");
}

const QUICK = { all: () => true, won, flipped, unscored };

// All text of a battle in lower case, made once: searching is then one look a battle.
function haystack(battle) {
  battle.haystack ??= [battle.id, ...battle.prompt, ...battle.opponentTurns, ...battle.answers.flatMap((a) => a.turns)]
    .join("\n")
    .toLowerCase();
  return battle.haystack;
}

function matching(battles, choices) {
  const text = choices.text.toLowerCase();
  return battles.filter(
    (battle) =>
      (choices.task === null || battle.task === choices.task) &&
      (choices.category === null || battle.category === choices.category) &&
      QUICK[choices.quick](battle, choices) &&
      (text === "" || haystack(battle).includes(text)),
  );
}
