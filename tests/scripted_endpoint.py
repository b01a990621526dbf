"""A policy that is a function of chat and seed, as a player of ours and behind an OpenAI-compatible server."""

import hashlib
import json
import random
import threading
import time
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

from clarify_env.games import find_game
from clarify_env.games.base import Reply


class Speaker:
    """Plays both roles of the clarification game: any kind of message, right and wrong, at random by chat and seed.

    Args:
        episodes: The episodes that are played; the queries differ.
        style: Style of the chats.
    """

    name = "speaker"

    def __init__(self, episodes, style=None):
        self.episodes = {episode.query: episode for episode in episodes}
        self.game = find_game("clarification")
        self.style = self.game.check_style(style)

    def act(self, views, seeds, openings=None):
        chats = [self.game.chat(view, self.style) for view in views]
        return [Reply(self.say(chat, seed)) for chat, seed in zip(chats, seeds, strict=True)]

    def say(self, chat, seed):
        digest = hashlib.sha256(json.dumps([chat, seed]).encode()).hexdigest()
        rng = random.Random(digest)
        if chat[0]["content"].startswith("You are a user"):
            meant = chat[0]["content"].splitlines()[1].split(": ", 1)[1]
            last = chat[-1]["content"]
            return rng.choice([meant, meant.split(",")[0], last.split(": ")[-1], last.removeprefix("#ANSWER "), "No."])
        readings = self.episodes[chat[1]["content"].splitlines()[0]].interpretations
        reading = rng.choice(readings)
        lines = "\n".join(f"{one.label}: {one.answers[0]}" for one in readings)
        return rng.choice(
            [
                f"#CLARIFY Which {rng.choice(['kind', 'era', 'place'])} is it?",
                f"#CLARIFY {reading.label}?",
                f"#ANSWER {reading.answers[0]}",
                f"  #ANSWER  {reading.answers[0]} \n\n",
                f"#MULTI_ANS\n{lines}",
                "#ANSWER ½ \u00a0 é \U0001f600",
                "Let me think.",
                "",
            ]
        )


@contextmanager
def serve(say, latency=0.0):
    """Serves chat completions on loopback; yields the base URL and the list of the requests' bodies.

    Args:
        say: Reply to (messages, seed), or the status of an error.
        latency: Seconds before each reply.
    """
    bodies = []

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_POST(self):
            body = json.loads(self.rfile.read(int(self.headers["content-length"])))
            bodies.append(body)
            time.sleep(latency)
            reply_text = say(body["messages"], body.get("seed"))
            if isinstance(reply_text, int):
                self.send_response(reply_text)
                self.send_header("content-length", "0")
                self.end_headers()
                return
            message = {"role": "assistant", "content": reply_text}
            choice = {"index": 0, "message": message, "finish_reason": "stop"}
            usage = {"prompt_tokens": 1, "completion_tokens": 1, "total_tokens": 2}
            completion = {"id": "1", "object": "chat.completion", "created": 0, "model": body["model"]}
            text = json.dumps(completion | {"choices": [choice], "usage": usage}).encode()
            self.send_response(200)
            self.send_header("content-type", "application/json")
            self.send_header("content-length", str(len(text)))
            self.end_headers()
            self.wfile.write(text)

        def log_message(self, *arguments):
            pass

    class Server(ThreadingHTTPServer):
        daemon_threads, request_queue_size = True, 256

    server = Server(("127.0.0.1", 0), Handler)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    try:
        yield f"http://127.0.0.1:{server.server_port}/v1", bodies
    finally:
        server.shutdown()
        server.server_close()
