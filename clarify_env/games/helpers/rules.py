"""The rules: the asker writes to both helpers, each answers from memory or after a search, the asker answers."""

import zlib

from clarify_env.games.base import Game, Result
from clarify_env.games.helpers.actions import WORDINGS, Action, Invalid, Say, Search, answer_of, parse
from clarify_env.games.helpers.facts import ARCHIVES, ASKER, HELPERS, LABELS, AskerFacts, HelperFacts, ToolFacts
from clarify_env.tasks.base import Episode
from clarify_env.tasks.faults import checked_score
from clarify_env.tasks.passages import PassageTask

# Who plays alone; "none": all play.
ALONE = ("none", ASKER, *HELPERS)


class HelpersGame(Game):
    """One game of an asker and two helpers.

    Args:
        task: The task; it holds the corpora and scores the answer.
        episode: The question.
        hidden: Always 0: nothing is drawn that no role can see.
        prices: Price of a call.
        calls: Most calls of a helper.
        results: Most passages that a call returns.
        wording: ``"closed"`` or ``"free"`` messages of the helpers.
        identities: Whether the asker knows which helper is which, and what their archives are about.
        alone: The role that plays alone; ``"none"``: all play.

    Raises:
        ValueError: An option has a value that cannot be, or the task has no corpora.
    """

    name = "helpers"
    roles = (ASKER, *HELPERS)
    __slots__ = ("_calls", "_replies", "_written")

    def __init__(
        self,
        task: PassageTask,
        episode: Episode,
        hidden: int = 0,
        prices: tuple[float, ...] = (0.0,),
        calls: int = 1,
        results: int = 1,
        wording: str = "closed",
        identities: bool = False,
        alone: str = "none",
    ):
        if not isinstance(task, PassageTask):
            raise ValueError(f"game helpers needs a task with two corpora, and {task.name} has none")
        for option, value, choices in (("wording", wording, WORDINGS), ("alone", alone, ALONE)):
            if value not in choices:
                raise ValueError(f"game.{option} must be one of {', '.join(choices)}, not {value!r}")
        options = {"calls": calls, "results": results, "wording": wording, "identities": identities, "alone": alone}
        super().__init__(task, episode, hidden, tuple(prices), **options)
        self._calls = dict.fromkeys(HELPERS, 0)
        self._replies: dict[str, str] = {}
        # Whether the asker has written to the helpers; alone, it has nobody to write to.
        self._written = alone != "none"
        self.to_move = ASKER if alone == "none" else alone

    def facts(self, role: str, prices: tuple[float, ...]) -> AskerFacts | HelperFacts | ToolFacts:
        """Returns the question for the asker; archive and price for a helper."""
        options, query, corpora = self.options, self.episode.query, self.task.corpora
        if role == ASKER:
            known = tuple(corpus.about for corpus in corpora) if options["identities"] else ()
            return AskerFacts(query, known, options["wording"], options["alone"] == ASKER, self.episode.id)
        if role in ARCHIVES:
            return ToolFacts(options["results"])
        if role not in HELPERS:
            raise ValueError(f"game helpers has no role {role!r}")
        own = query if options["alone"] == role else ""
        about = corpora[HELPERS.index(role)].about
        limits = options["calls"], options["results"]
        return HelperFacts(about, tuple(prices), options["wording"], *limits, own, self.episode.id)

    def move(self, role: str, text: str | None) -> Action | None:
        """Plays a message of the asker, a helper or an archive."""
        if role in ARCHIVES:
            caller = HELPERS[ARCHIVES.index(role)]
            self.say(role, text, (caller,))
            self.to_move = caller
            return None
        if role == ASKER:
            return self._asker(text)
        action = parse(text, self.options["wording"])
        archive = ARCHIVES[HELPERS.index(role)]
        if isinstance(action, Search) and self._calls[role] < self.options["calls"]:
            self._calls[role] += 1
            self.say(role, text, (archive,))
            self.to_move = archive
            return action
        if isinstance(action, Search):
            action = Invalid(action.query, "too many calls")
        self.say(role, text, (role,))
        self._reply(role, action, "" if isinstance(action, Invalid) else (text or "").strip())
        return action

    def _asker(self, text: str | None) -> Say:
        action = Say(text.strip() if isinstance(text, str) else "")
        if self._written:
            self.say(ASKER, text)
            self._end(action.text)
        else:
            self._written, self.to_move = True, HELPERS[0]
            self.say(ASKER, text)
        return action

    def _reply(self, role: str, action: Action, heard: str) -> None:
        """Ends a helper's part; the asker hears both replies at once, when both have been given."""
        if self.options["alone"] == role:
            self._end(answer_of(action))
            return
        self._replies[role] = heard
        waiting = [helper for helper in HELPERS if helper not in self._replies]
        if waiting:
            self.to_move = waiting[0]
            return
        named = self.options["identities"]
        order, names = (HELPERS, HELPERS) if named else (label_order(self.episode.id), LABELS)
        for helper, label in zip(order, names, strict=True):
            self.say(label, self._replies[helper], (ASKER,))
        self.to_move = ASKER

    def _end(self, answer: str) -> None:
        score = checked_score(self.task, answer, 0, self.episode) if answer else 0.0
        self.result = Result(score, {"calls": sum(self._calls.values())}, {})


def label_order(episode_id: str) -> tuple[str, str]:
    """Returns the helpers in the order of `LABELS`: either order on half of the episodes, always the same on one."""
    return (HELPERS[1], HELPERS[0]) if zlib.crc32(episode_id.encode()) % 2 else HELPERS
