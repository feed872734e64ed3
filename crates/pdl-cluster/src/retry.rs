//! Repetition of tasks on an executor while files or the object store are out of reach. For an
//! executor that dies see "When a machine fails" in the documentation of the crate.

use std::time::Duration;

const ATTEMPTS: u32 = 6;
/// Doubles with every attempt. The engine itself repeats a task four times within three seconds,
/// which a storage that is restarted outlasts.
const FIRST_PAUSE: Duration = Duration::from_millis(250);

/// The first outcome that needs no further attempt, or that of the last attempt.
pub(crate) async fn with_backoff<T, F: Future<Output = T>>(
    attempt: impl FnMut() -> F,
    is_retryable: impl Fn(&T) -> bool,
) -> T {
    with_pause(FIRST_PAUSE, attempt, is_retryable).await
}

async fn with_pause<T, F: Future<Output = T>>(
    mut pause: Duration,
    mut attempt: impl FnMut() -> F,
    is_retryable: impl Fn(&T) -> bool,
) -> T {
    for _ in 1..ATTEMPTS {
        let outcome = attempt().await;
        if !is_retryable(&outcome) {
            return outcome;
        }
        tokio::time::sleep(pause).await;
        pause *= 2;
    }
    attempt().await
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn attempts_end_with_success_or_with_the_last() {
        for (succeeds_at, made) in [(1, 1), (3, 3), (6, 6), (7, 6)] {
            let mut attempts = 0;
            let attempt = || {
                attempts += 1;
                std::future::ready(attempts)
            };
            let ended = with_pause(Duration::ZERO, attempt, |attempt| *attempt < succeeds_at).await;
            assert_eq!(ended, made);
        }
    }
}
