# An agent that speaks the Agent Client Protocol and misbehaves as the first word of its prompt says.
import json
import os
import signal
import socket
import subprocess
import sys
import time

out = sys.stdout.buffer


def send(message):
    out.write(json.dumps(message).encode() + b"\n")
    out.flush()


def reply(ask, result):
    send({"jsonrpc": "2.0", "id": ask, "result": result})


def say(text):
    content = {"type": "text", "text": text}
    update = {"sessionUpdate": "agent_message_chunk", "content": content}
    send({"jsonrpc": "2.0", "method": "session/update", "params": {"sessionId": "s", "update": update}})


def done(ask):
    reply(ask, {"stopReason": "end_turn"})


def raw(ask, line):
    out.write(line + b"\n")
    out.flush()
    say("still here")
    done(ask)


def flood():
    piece = b"x" * (1 << 20)
    for _ in range(1 << 10):
        out.write(piece)
    out.flush()


def longline(ask):
    for _ in range(100):
        out.write(b'{"x":"' + b"y" * (1 << 20))
    raw(ask, b"")


def garbage(ask):
    for line in [
        b"null",
        b"[]",
        b'"text"',
        b'{"jsonrpc":"2.0"}',
        b'{"jsonrpc":"2.0","id":{"a":[1]},"result":7}',
        b'{"jsonrpc":"2.0","id":99999,"result":{"stopReason":"end_turn"}}',
        b'{"jsonrpc":"2.0","method":"session/update","params":{"update":{"sessionUpdate":7}}}',
        b'{"jsonrpc":"2.0","method":"session/update","params":null}',
        b'{"jsonrpc":"2.0","id":1e400,"method":"session/request_permission","params":{"options":{}}}',
    ]:
        out.write(line + b"\n")
    raw(ask, b"{" * 5000)


def bomb():
    made = 0
    while True:
        try:
            if os.fork() == 0:
                time.sleep(600)
                os._exit(0)
            made += 1
        except OSError as problem:
            return "%d made, then %s" % (made, problem.strerror)


def fill(folder, size):
    made, piece = 0, b"x" * size
    while True:
        try:
            with open("%s/f%d" % (folder, made), "wb") as file:
                file.write(piece)
            made += 1
        except OSError as problem:
            return "%d files, then %s" % (made, problem.strerror)


def emptied(folder):
    for name in os.listdir(folder):
        if name.startswith("f"):
            os.unlink("%s/%s" % (folder, name))


def leave():
    for _ in range(3):
        subprocess.Popen(
            ["/bin/sh", "-c", "while :; do sleep 1; done"],
            start_new_session=True,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )


def eat():
    kept = []
    while True:
        kept.append(bytearray(os.urandom(1 << 16)) * 64)


def pose():
    """Calls the server's end of the worker's line as if it were the worker."""
    said = []
    for path in ["/run/worker.sock", "/run/gate.sock"]:
        try:
            line = socket.socket(socket.AF_UNIX)
            line.settimeout(3)
            line.connect(path)
            line.sendall(b'{"hello":{"version":1,"cursor":0}}\n' * 3 + b"\xff" * 4096)
            said.append("%s: %r" % (path, line.recv(64)))
        except OSError as problem:
            said.append("%s: %s" % (path, problem.strerror or problem))
    return "; ".join(said)


def crowd():
    """Leaves a process that calls the server's end of the worker's line for ever, and never says a word."""
    if os.fork() != 0:
        # Once nobody takes calls up, so many wait that no other one can.
        line, waiting = socket.socket(socket.AF_UNIX), 0
        line.setblocking(False)
        for _ in range(1000):
            time.sleep(0.01)
            try:
                line.connect("/run/worker.sock")
                line, waiting = socket.socket(socket.AF_UNIX), waiting + 1
                line.setblocking(False)
            except BlockingIOError:
                return "full"
            except OSError as problem:
                return "%s" % problem
        return "%d wait" % waiting
    os.setsid()
    calls = []
    while True:
        call = socket.socket(socket.AF_UNIX)
        call.setblocking(False)
        try:
            call.connect("/run/worker.sock")
            calls = calls[-400:] + [call]
        except OSError:
            time.sleep(0.001)


def knock():
    """Looks for a gate that is not its own, on every loopback port, over the host's addresses."""
    found = []
    for port in list(range(8000, 9000)) + [int(it) for it in sys.argv[1:]]:
        call = socket.socket()
        call.settimeout(0.2)
        if call.connect_ex(("127.0.0.1", port)) == 0:
            found.append(port)
        call.close()
    far = []
    for host in ["1.1.1.1", "10.0.0.1", "169.254.169.254", "192.168.0.1"]:
        call = socket.socket()
        call.settimeout(1)
        far.append("%s %s" % (host, os.strerror(call.connect_ex((host, 80)))))
        call.close()
    return "ports %s; %s" % (found, "; ".join(far))


def obey(ask, word, rest):
    if word == "flood":
        flood()
    elif word == "longline":
        longline(ask)
    elif word == "badtext":
        raw(ask, b"\xff\xfe\xc3\x28\x00" * 1000)
    elif word == "garbage":
        garbage(ask)
    elif word == "deep":
        raw(ask, b'{"jsonrpc":"2.0","method":' + b"[" * 100_000 + b"]" * 100_000 + b"}")
    elif word == "silent":
        time.sleep(600)
    elif word == "deaf":
        signal.signal(signal.SIGTERM, signal.SIG_IGN)
        signal.signal(signal.SIGINT, signal.SIG_IGN)
        say("deaf")
        while True:
            time.sleep(600)
    elif word == "die":
        say("dying")
        os._exit(3)
    elif word == "eat":
        eat()
    else:
        tried = {
            "bomb": bomb,
            "bytes": lambda: fill("/tmp", 1 << 20),
            "inodes": lambda: fill("/tmp", 0),
            "crowd": crowd,
            "pose": pose,
            "knock": knock,
            "leave": leave,
        }
        if word == "spoil":
            with open("/session/state", "w") as file:
                file.write("garbage" * 100)
            say("spoilt")
        elif word in tried:
            said = tried[word]()
            say(str(said))
        else:
            say("you said " + rest)
        done(ask)


def main():
    if os.path.exists("/session/state"):
        spoilt = "garbage" in open("/session/state").read()
    else:
        spoilt = False
    for line in sys.stdin:
        message = json.loads(line)
        ask, method = message.get("id"), message.get("method")
        if method == "initialize":
            reply(ask, {"protocolVersion": 1, "agentCapabilities": {"loadSession": True}})
        elif method == "session/new":
            reply(ask, {"sessionId": "s"})
        elif method == "session/load":
            if spoilt:
                send({"jsonrpc": "2.0", "id": ask, "error": {"code": -32002, "message": "the session cannot be read"}})
            else:
                reply(ask, {})
        elif method == "session/prompt":
            text = message["params"]["prompt"][0]["text"]
            obey(ask, text.split(" ")[0], text)


if sys.argv[1:] == ["at-once"]:
    sys.exit(7)
main()
