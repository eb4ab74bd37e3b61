//! Progress on one line of a terminal.

use std::io::Write;

use perf::Moment;

/// The line.
#[derive(Default)]
pub(super) struct Bar {
    stage: &'static str,
}

const BAR_WIDTH: usize = 24;

impl Bar {
    pub(super) fn show(&mut self, moment: &Moment) {
        let mut err = std::io::stderr().lock();
        if moment.stage != self.stage && !self.stage.is_empty() {
            let _ = writeln!(err);
        }
        self.stage = moment.stage;
        let _ = write!(err, "\r{}\x1b[K", line(moment));
        let _ = err.flush();
    }

    pub(super) fn clear(&self) {
        if !self.stage.is_empty() {
            let _ = writeln!(std::io::stderr().lock());
        }
    }
}

fn line(moment: &Moment) -> String {
    #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "between 0 and the width")]
    let full = ((moment.done.clamp(0.0, 1.0)) * 24.0).round() as usize;
    let wrong = if moment.wrong > 0 { format!(", {} WRONG", moment.wrong) } else { String::new() };
    format!(
        "{:<11} [{}{}] {} connections, {} messages{wrong}",
        moment.stage,
        "#".repeat(full),
        ".".repeat(BAR_WIDTH - full),
        moment.ready,
        moment.messages
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn progress_is_one_line_of_constant_width() {
        let moment = Moment { stage: "load", done: 0.5, ready: 3, messages: 9, wrong: 0 };
        assert_eq!(line(&moment), "load        [############............] 3 connections, 9 messages");
        assert!(
            line(&Moment { done: 7.0, wrong: 2, ..moment })
                .ends_with("[########################] 3 connections, 9 messages, 2 WRONG")
        );
    }
}
