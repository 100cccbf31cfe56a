//! Whether a statement sets a limit for how long a lock is waited for.

use super::words::Words;

/// Whether there is a limit after `set …`; nothing if it is about something else. The last one counts.
pub(super) fn limit_of_set(settings: Words<'_>) -> Option<bool> {
    let mut limits = settings.parts().into_iter().filter_map(|part| {
        let (name, value) = part.assignment()?;
        // What is set for those who connect later does nothing here.
        let is_of_others = name.mentions(&["global", "persist"]);
        let name = name.last_text();
        let own = name.rsplit(['.', '@']).next()?;
        (!is_of_others).then(|| is_limit(own, &value.last_text()))?
    });
    limits.next_back()
}

/// Whether there is a limit after `select set_config('lock_timeout', '5s', true)`.
pub(super) fn limit_of_call(called: Words<'_>) -> Option<bool> {
    let arguments = called.after(&["set_config"])?.inside()?.parts();
    let [name, value, ..] = arguments.as_slice() else { return None };
    is_limit(&name.last_text(), &value.last_text())
}

/// Whether `value` is one for the setting called `name`; nothing if that is about something else.
fn is_limit(name: &str, value: &str) -> Option<bool> {
    match name {
        "lock_timeout" => Some(value != "default" && !is_zero(value)),
        // Zero does not wait at all there.
        "lock_wait_timeout" => Some(value != "default"),
        _ => None,
    }
}

/// `0`, `0s`, `0.0 ms`.
fn is_zero(value: &str) -> bool {
    let number = value.trim().trim_end_matches(|c: char| c.is_ascii_alphabetic() || c == ' ');
    number.parse::<f64>().is_ok_and(|number| number == 0.0)
}
