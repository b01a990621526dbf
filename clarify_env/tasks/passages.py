"""Tasks whose answers stand in passages of two corpora, one for each helper of the game ``helpers``."""

from typing import NamedTuple

from clarify_env.tasks.base import Episode, Task


class Passage(NamedTuple):
    """A short text that a search can return.

    Attributes:
        id: Its id, unique in both corpora.
        title: Its title; indexed with the text.
        text: Its text.
    """

    id: str
    title: str
    text: str

    def __str__(self) -> str:
        return f"{self.title}: {self.text}" if self.title else self.text


class Corpus(NamedTuple):
    """The passages that one tool searches.

    Attributes:
        about: What they are about, in a few words, as prompts say it.
        passages: The passages.
    """

    about: str
    passages: tuple[Passage, ...]


class PassageTask(Task):
    """Base class of tasks with two corpora. Each episode has one reading.

    Attributes:
        corpora: The corpus of each helper, in order.
    """

    @property
    def corpora(self) -> tuple[Corpus, Corpus]:
        """The corpus of each helper, in order; they share no passage."""
        raise NotImplementedError(f"class {type(self).__name__} needs a property corpora")

    def memory(self, episode: Episode) -> tuple[str, bool] | None:
        """What the weights of a model are to hold about a question, for scripted players and the best joint plan.

        Returns:
            The answer that memory gives, and whether it is sure of it; ``None``: nothing is known of any memory, so
            there is no oracle.
        """
        return None

    def read(self, episode: Episode, text: str) -> str | None:
        """Returns the gold answer, or an alias, if a text holds it word for word: what a perfect reader finds."""
        form = self.normal_form(episode)
        words = f" {form(text)} "
        return next((a for a in episode.interpretations[0].answers if f" {form(a)} " in words), None)
