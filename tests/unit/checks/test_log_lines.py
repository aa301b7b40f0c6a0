"""Of LiteLLM's and the wrapper's own logs, captured as they failed, the lines that tell why."""

from pathlib import Path

from hx_gateway_db.checks.log_lines import relevant

LOGS = Path(__file__).parent / "logs"


def log(name: str) -> str:
    return (LOGS / f"{name}.log").read_text()


def test_of_tracebacks_the_exceptions_are_left() -> None:
    assert relevant(log("litellm-without-a-table"), 8) == [
        "18:49:57 - LiteLLM Proxy:ERROR: utils.py:3603 - Exception: 500:"
        " {'error': 'Internal Server Error.'}",
        "prisma.errors.TableNotFoundError: The table `public.LiteLLM_VerificationToken` does not"
        " exist in the current database.",
        "fastapi.exceptions.HTTPException: 500: {'error': 'Internal Server Error.'}",
        'INFO:     127.0.0.1:45202 - "POST /key/generate HTTP/1.1" 500 Internal Server Error',
    ]


def test_requests_that_were_answered_well_are_noise() -> None:
    lines = relevant(log("litellm-without-redis"), 20)
    assert not any(" 200 OK" in line for line in lines)
    assert '"GET /cache/ping HTTP/1.1" 503 Service Unavailable' in lines[-1]
    assert any("Error 111 connecting to 127.0.0.1:6379" in line for line in lines)


def test_why_a_service_ended_is_among_them() -> None:
    assert relevant(log("wrapper-without-its-port"), 8) == [
        "ERROR:    [Errno 98] error while attempting to bind on address ('0.0.0.0', 4010):"
        " address already in use",
        "hx-gateway-ml.service: Main process exited, code=exited, status=1/FAILURE",
        "hx-gateway-ml.service: Failed with result 'exit-code'.",
    ]


def test_the_last_ones_are_kept_in_their_order() -> None:
    text = "".join(f"ERROR: {word}\n" for word in ("one", "two", "three"))
    assert relevant(text, 2) == ["ERROR: two", "ERROR: three"]


def test_what_differs_in_digits_only_is_shown_once_as_it_was_last() -> None:
    assert relevant("12:00:01 ERROR: x\nother error\n12:00:09 ERROR: x\n", 8) == [
        "other error",
        "12:00:09 ERROR: x",
    ]


def test_without_trouble_the_last_lines_are_shown() -> None:
    assert relevant("INFO: one\nINFO: two\nINFO: three\n", 2) == ["INFO: two", "INFO: three"]


def test_colours_are_taken_out_and_long_lines_cut() -> None:
    assert relevant("\033[91mERROR\033[0m: " + "x" * 400, 1) == [
        ("ERROR: " + "x" * 400)[:300] + " ..."
    ]


def test_nothing_comes_of_nothing() -> None:
    assert relevant("", 8) == []
