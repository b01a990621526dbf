"""Chess order: each player sees a position of one game; which came first? Needs the extra ``[chess]``."""

from clarify_env.options import whole_number
from clarify_env.tasks.base import Episode, register
from clarify_env.tasks.private import PrivateTask, private_episode

try:
    import chess
except ImportError:  # the task says so when it is made
    chess = None

# Half-moves that about half of the games of random moves reach.
LONGEST_GAME = 400


@register
class PingChess(PrivateTask):
    """Positions of a game of random legal moves; Bob's is earlier or later than Alice's by the same number of moves.

    Args:
        least: Fewest half-moves before Alice's position.
        most: Most half-moves before it.
        apart: Half-moves between the positions; an even number, so that the same side is to move.
        world_seed: Games follow from it, never from ``seed``.
        validation: Episodes of the validation split.
        test: Episodes of the test split; the train split is endless.
    """

    name = "ping_chess"
    example = "bob"
    rules = {
        player: "You and your partner each see a position of the same game of chess. Find out by talking whose "
        "position came first, then name the player: alice or bob. Capital letters are white's pieces, a8 is at the top "
        "left."
        for player in ("alice", "bob")
    }

    def __init__(
        self,
        least: int = 12,
        most: int = 40,
        apart: int = 6,
        world_seed: int = 0,
        validation: int = 200,
        test: int = 400,
    ) -> None:
        if chess is None:
            raise ValueError("task ping_chess needs the package chess; install the extra [chess]")
        self.least, self.most = whole_number("task.least", least, least=0), whole_number("task.most", most, least=0)
        self.apart = whole_number("task.apart", apart, least=2)
        if self.least < self.apart or self.most < self.least or self.apart % 2:
            raise ValueError(
                f"task.apart={apart} must be even and at most task.least={least}, and task.most={most} at least that, "
                "in half-moves"
            )
        if self.most + self.apart > LONGEST_GAME:
            raise ValueError(
                f"task.most={most} and task.apart={apart} must be at most {LONGEST_GAME} half-moves together: few "
                "games of random moves are longer"
            )
        self._set_splits(world_seed, validation, test)

    def _episode(self, split: str, index: int) -> Episode:
        rng = self._rng(split, index)
        at = int(rng.integers(self.least, self.most + 1))
        boards: list[str] = []
        while len(boards) <= at + self.apart:  # a game that ends too early is played anew
            board = chess.Board()
            boards = [_drawn(board)]
            while len(boards) <= at + self.apart and not board.is_game_over():
                moves = sorted(board.legal_moves, key=lambda move: move.uci())
                board.push(moves[int(rng.integers(len(moves)))])
                boards.append(_drawn(board))
        bobs = [boards[at + self.apart], boards[at - self.apart]]
        return private_episode(f"{split}/{index}", "Whose position came first?", ["alice", "bob"], boards[at], bobs)


def _drawn(board: "chess.Board") -> str:
    """Returns a position as eight lines of letters."""
    return str(board).replace(" ", "")
