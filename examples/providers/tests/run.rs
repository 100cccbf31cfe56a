//! Each example runs to its end and says what it promises.

use std::process::Command;

fn output_of(program: &str) -> String {
    let output = Command::new(program).output();
    let output = output.unwrap_or_else(|error| panic!("{program} cannot be run: {error}"));
    let errors = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{program}: {errors}");
    String::from_utf8_lossy(&output.stdout).into_owned()
}

#[test]
fn switching_at_run_time_fails_no_call() {
    let said = output_of(env!("CARGO_BIN_EXE_switched"));
    assert_eq!(
        said.lines().collect::<Vec<_>>(),
        [
            "generation 2: words are counted by `command`",
            "generation 3: words are counted by `here`",
            "calls that failed or counted wrong: 0",
        ]
    );
}

#[test]
fn failing_over_always_gives_a_price() {
    let said = output_of(env!("CARGO_BIN_EXE_failing_over"));
    let prices: Vec<_> = said.lines().filter(|line| line.contains("costs")).collect();
    assert_eq!(
        prices,
        [
            "both are there:     tea costs 21, says primary",
            "the first has gone: tea costs 21, says spare",
            "and is passed over: tea costs 21, says spare",
            "the first is back:  tea costs 21, says primary",
        ]
    );
    let failovers = said.lines().filter(|line| line.contains("failed over")).count();
    assert_eq!(failovers, 1, "once it is known to be down it is passed over:\n{said}");
}

#[test]
fn a_stream_is_read_to_its_end_or_closed_before() {
    let said = output_of(env!("CARGO_BIN_EXE_streaming"));
    assert_eq!(
        said.lines().collect::<Vec<_>>(),
        [
            "to the end:",
            "  line 1",
            "  line 2",
            "  line 3",
            "as far as wanted:",
            "  again",
            "  again",
            "an error is not an end:",
            "  so far so good",
            "  the program failed, status 3",
            "in flight at the end: 0",
        ]
    );
}
