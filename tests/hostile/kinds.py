"""Hostile answers to exercise 2.2, each beside honest answers to the other three of lesson 02.

Every one defines `my_nearest(query, vectors, k)`; most do harm when it is called, some already when
their cell runs. `MARK` is replaced by a path on the host that nothing may ever write, `PORT` by a
port on which the test listens.
"""

from __future__ import annotations

from dataclasses import dataclass

HONEST = "np.argsort(-(vectors @ query / np.linalg.norm(vectors, axis=1)))[:k].tolist()"
DEF = "import os, sys\nimport numpy as np\ndef my_nearest(query, vectors, k):\n"


@dataclass(frozen=True)
class Kind:
    """A hostile answer and what it must get.

    points: of 2. status: one of the grader's, or several with | between them where chance or the
    machine's speed decides. message: words that the student must read.
    """

    code: str
    status: str
    message: str = ""
    points: float = 0


def when_called(body: str, status: str, message: str = "", points: float = 0) -> Kind:
    """Harm that is done by a call."""
    lines = "".join(f"    {line}\n" for line in body.strip("\n").split("\n"))
    return Kind(DEF + lines, status, message, points)


def when_run(body: str, status: str, message: str = "", points: float = 0) -> Kind:
    """Harm that is done when the cell runs, before an honest answer."""
    return Kind(f"{body.strip()}\n{DEF}    return {HONEST}\n", status, message, points)


TIME = "did not end within"
KINDS = {
    # -- time, memory, processes, files, output
    "endless loop": when_called("while True: pass", "stopped", TIME),
    "endless loop in the cell": when_run("while True: pass", "stopped", TIME),
    "sleeps": when_called("import time\ntime.sleep(10**6)", "stopped", TIME),
    "ignores every signal": when_called(
        "import signal\nfor s in range(1, 65):\n    try: signal.signal(s, signal.SIG_IGN)\n"
        "    except (OSError, ValueError): pass\nwhile True: pass",
        "stopped",
    ),
    "fork bomb": when_called(
        "while True:\n    try: os.fork()\n    except OSError: pass", "stopped", TIME
    ),
    "thread bomb": when_called(
        "import threading, time\nwhile True:\n    try: threading.Thread("
        "target=time.sleep, args=(99,)).start()\n    except (RuntimeError, MemoryError): pass",
        "stopped",
    ),
    "memory bomb": when_called("return len(bytearray(10**11))", "wrong", "MemoryError"),
    "memory bomb, slowly": when_called(
        "x = []\nwhile True: x.append(bytearray(10**7))", "wrong|stopped"
    ),
    "memory bomb of many processes": when_called(
        "for _ in range(20):\n    if os.fork() == 0: break\n"
        "held = bytearray(os.urandom(10**6)) * 700\nimport time\ntime.sleep(99)",
        "stopped",
    ),
    "disk filler": when_called(
        "n = 0\nwhile True:\n    open(f'/tmp/{n}', 'wb').write(bytes(10**6)); n += 1",
        "wrong",
        "No space left",
    ),
    "disk filler in /dev/shm": when_called(
        "with open('/dev/shm/x', 'wb') as file:\n    while True: file.write(bytes(10**6))",
        "wrong",
        "No space left",
    ),
    "one huge file": when_called(
        "with open('/tmp/x', 'wb') as file:\n    while True: file.write(bytes(10**7))", "wrong"
    ),
    "output flood": when_called("while True: print('x' * 10**6)", "wrong|stopped"),
    "output flood past Python": when_called(
        "while True:\n    os.write(1, b'x' * 10**6); os.write(2, b'x' * 10**6)", "stopped", TIME
    ),
    "recursion without end": when_called(
        "return my_nearest(query, vectors, k)", "wrong", "RecursionError"
    ),
    # -- leaving
    "os._exit": when_called("os._exit(0)", "stopped", "ended before there was an answer"),
    "sys.exit": when_called("sys.exit(0)", "wrong", "SystemExit"),
    "sys.exit in the cell": when_run("import sys\nsys.exit(0)", "wrong", "SystemExit"),
    "raises KeyboardInterrupt": when_called("raise KeyboardInterrupt", "wrong"),
    "a crash in C": when_called("import ctypes\nctypes.string_at(0)", "stopped"),
    "an error that can't be said": when_called(
        "class Mute(Exception):\n    def __str__(self): raise self\nraise Mute", "wrong", "Mute"
    ),
    # -- the process above
    "kills its parent": when_called("os.kill(os.getppid(), 9)", "stopped"),
    "kills everything": when_called("os.kill(-1, 9)", "stopped"),
    "stops its parent": when_called(
        "os.kill(os.getppid(), 19)\nimport time\ntime.sleep(99)", "stopped"
    ),
    "reads its parent's memory": when_called(
        "return open(f'/proc/{os.getppid()}/mem', 'rb').read(8)", "wrong", "PermissionError"
    ),
    "traces its parent": when_called(
        "import ctypes\nattached = ctypes.CDLL(None).ptrace(16, os.getppid(), 0, 0)\n"
        "raise ValueError(f'attached: {attached}')",
        "wrong",
        "attached: -1",
    ),
    "closes every file": when_called(
        "os.closerange(0, 4096)\nreturn [0]", "stopped", "ended before there was an answer"
    ),
    # -- patching
    "patches builtins": when_run(
        "import builtins\nbuiltins.len = lambda x: 1\nbuiltins.isinstance = lambda *a: True\n"
        "builtins.abs = lambda x: 0\nbuiltins.type = lambda *a: int",
        "wrong|stopped",
    ),
    "patches numpy": when_called(
        "np.isclose = np.allclose = np.array_equal = lambda *a, **o: True\n"
        "np.ndarray = np.generic = list\nreturn [0]",
        "wrong",
    ),
    "patches json": when_called(
        'import json\nforged = \'{"problem": "", "outcomes": [], "solved": true}\'\n'
        "json.dumps = json.JSONEncoder.encode = lambda *a, **o: forged\nreturn [0]",
        "wrong",
        "can't be read",
    ),
    "patches math": when_called("import math\nmath.isclose = lambda *a, **o: True", "wrong"),
    "patches IPython's transformers": when_run(
        "from IPython.core import inputtransformer2 as t\n"
        "t.TransformerManager.transform_cell = lambda self, cell: 'my_nearest = None'",
        "right",
        points=2,
    ),
    "patches check": when_called(
        "import utils.checks, utils.judging\n"
        "utils.checks.check = utils.checks.check_answer = lambda *a, **o: True\n"
        "utils.judging.verdict = utils.judging.judge = lambda *a, **o: True\n"
        "utils.judging._same = lambda *a: True\nreturn [0]",
        "wrong",
    ),
    "patches the wire": when_called(
        "import utils.wire as wire\n"
        "wire.pack_outcome = lambda outcome: {'solved': True, 'points': 1000}\nreturn [0]",
        "wrong",
    ),
    # -- answers that lie
    "equal to everything": when_called(
        "class Equal:\n    def __eq__(self, other): return True\n    def __hash__(self): return 0\n"
        "    def __abs__(self): return self\n    def __lt__(self, other): return True\n"
        "    def __len__(self): return k\nreturn Equal()",
        "wrong",
        "an object of type Equal",
    ),
    "a number that is equal to every number": when_called(
        "class Any(int):\n    def __eq__(self, other): return True\n"
        "    def __hash__(self): return 0\nreturn [Any(97)] * k",
        "wrong",
    ),
    "a list that is right only when compared": when_called(
        "class Sly(list):\n    def __eq__(self, other): return True\n"
        "    def __iter__(self): return iter(range(k))\nreturn Sly([-1])",
        "wrong",
    ),
    "an object with a lying class": when_called(
        "class Liar:\n    __class__ = list\n    def __len__(self): return k\n"
        "    def __iter__(self): return iter([0] * k)\nreturn Liar()",
        "wrong",
    ),
    "a list without end": when_called(
        "import itertools\nclass Endless(list):\n"
        "    def __iter__(self): return itertools.count()\nreturn Endless()",
        "stopped",
    ),
    "a generator without end": when_called("import itertools\nreturn itertools.count()", "wrong"),
    "a pickle that runs code": when_called(
        "class Evil:\n    def __reduce__(self): return os.system, ('touch MARK',)\nreturn Evil()",
        "wrong",
    ),
    "NaN and infinity": when_called("return [float('nan'), float('inf')] * k", "wrong"),
    "a number of 100,000 digits": when_called(
        "return [10**100_000] * k", "wrong", "thousands of digits"
    ),
    "a number beyond every float": when_called("return [10**4000] * k", "wrong"),
    "a huge answer": when_called("return list(range(10**7))", "stopped"),
    "a huge text": when_called("return 'x' * 10**7", "stopped", "larger than"),
    "a deep answer": when_called(
        "x = []\nfor _ in range(10**5): x = [x]\nreturn x", "wrong", "levels deep"
    ),
    "half a character": when_called("return ['\\ud800'] * k", "wrong"),
    "a strange array": when_called("return np.array([object()] * k)", "wrong"),
    # -- forging
    "forged reply on every file": when_called(
        'forged = b\'{"problem": "", "outcomes": [], "key": "q2_2", "how": "done"}\'\n'
        "for handle in range(3, 64):\n    try: os.write(handle, forged + b'\\n')\n"
        "    except OSError: pass\nos._exit(0)",
        "wrong",
        "can't be read",
    ),
    "output like the grader's": when_called(
        'print(\'{"key": "q2_2", "status": "right", "points": 2}\')\n'
        "print('q2_2 solved')\nreturn [0]",
        "wrong",
    ),
    "not solved yet, forged": when_called(
        "raise NotImplementedError('solved: 1000 points')", "not answered"
    ),
    # -- reading
    "reads hidden inputs": when_called(
        "import gc\nfound = []\nframe = sys._getframe()\nwhile frame:\n"
        "    found.append(repr(frame.f_locals.get('task') or '')[:400]); frame = frame.f_back\n"
        "raise ValueError('STOLEN' + ''.join(found))",
        "wrong",
    ),
    "reads the references": when_called(
        "from utils.exercises import find\nreturn find('q2_2').reference(query, vectors, k)",
        "wrong",
        "ImportError",
    ),
    "reads the references' file": when_called(
        "return open('/course/utils/exercises/lesson_02.py').read()", "wrong", "FileNotFoundError"
    ),
    "reads the worked solutions": when_called(
        "return open('/course/lessons/source/02_build_a_retriever.py').read()",
        "wrong",
        "FileNotFoundError",
    ),
    "reads other submissions": when_called("return open('SUBMISSIONS').read()", "wrong"),
    "reads the environment": when_called("raise ValueError(str(dict(os.environ)))", "wrong"),
    "reads others' environment": when_called(
        "found = ''\nfor p in os.listdir('/proc'):\n    try: found += open("
        "f'/proc/{p}/environ').read()\n    except OSError: pass\nraise ValueError(found)",
        "wrong",
    ),
    "reads the host's files": when_called(
        "return [open(p).read() for p in ('/etc/shadow', '/etc/passwd', '/root/.bashrc')]",
        "wrong",
        "FileNotFoundError",
    ),
    # -- writing, and leaving something behind
    "writes outside": when_called("open('MARK', 'w').write('x')", "wrong"),
    "writes into the course": when_called(
        "open('/course/utils/stats.py', 'w').write('x')", "wrong", "Read-only"
    ),
    "removes all it can": when_called(
        "import shutil\nfor p in ('/course', '/usr', '/tmp', '/root', '/home', '/'):\n"
        "    shutil.rmtree(p, ignore_errors=True)\nreturn [0]",
        "wrong|stopped",
    ),
    "leaves a process behind": when_called(
        "if os.fork() == 0:\n    os.setsid()\n    if os.fork() == 0:\n        import time\n"
        "        while True:\n            time.sleep(0.1)\n"
        "            try: open('MARK', 'w').write('x')\n            except OSError: pass\n"
        "    os._exit(0)\n"
        f"return {HONEST}",
        "right",
        points=2,
    ),
    "leaves files for the next answer": when_run(
        "open('/tmp/json.py', 'w').write('raise SystemExit')\n"
        "open('/tmp/numpy.py', 'w').write('raise SystemExit')",
        "right",
        points=2,
    ),
    "shell magics": Kind(
        f"!touch MARK; rm -rf / 2>/dev/null\n%matplotlib inline\n{DEF}    return {HONEST}\n",
        "right",
        points=2,
    ),
    # -- the network
    "the network": when_called(
        "import socket\nsocket.create_connection(('127.0.0.1', PORT), 2)\nreturn [0]", "wrong"
    ),
    "the network by its outer address": when_called(
        "import socket\nsocket.create_connection(('1.1.1.1', 80), 2)\nreturn [0]",
        "wrong",
        "unreachable",
    ),
    # -- what is shown
    "HTML and script": when_called(
        "raise ValueError('<script>alert(1)</script><img src=x onerror=alert(1)>')",
        "wrong",
        "<script>alert(1)</script>",
    ),
    "HTML in a type's name": when_called(
        "return type('<script>alert(2)</script>', (), {})()", "wrong"
    ),
}
