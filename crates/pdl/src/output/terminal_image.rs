//! Images in terminals that can show them, by kitty's graphics protocol or iTerm2's inline images.
//! Both take a PNG in Base64 between control characters.

use std::io::IsTerminal;

use base64::Engine;
use base64::prelude::BASE64_STANDARD;
use pdl_console::send_to_terminal;

/// Maximum number of Base64 characters that kitty accepts in one escape sequence.
const CHUNK: usize = 4096;

/// How a terminal shows an image.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Protocol {
    Kitty,
    Iterm,
}

/// Shows a PNG if stdout is a terminal that can show images.
pub(crate) fn show(png: &[u8]) {
    let variable = |name: &str| std::env::var(name).ok();
    if let Some(protocol) = protocol(&variable).filter(|_| std::io::stdout().is_terminal()) {
        send_to_terminal(&escaped(png, protocol));
    }
}

/// The protocol of the terminal that set these environment variables.
fn protocol(variable: &dyn Fn(&str) -> Option<String>) -> Option<Protocol> {
    let is =
        |name: &str, values: &[&str]| variable(name).is_some_and(|value| values.contains(&value.as_str()));
    // tmux and screen pass neither on to the terminal.
    if variable("TMUX").is_some() || variable("STY").is_some() {
        None
    } else if is("TERM", &["xterm-kitty", "xterm-ghostty"]) || is("TERM_PROGRAM", &["ghostty"]) {
        Some(Protocol::Kitty)
    } else if is("TERM_PROGRAM", &["iTerm.app", "WezTerm"]) || is("LC_TERMINAL", &["iTerm2"]) {
        Some(Protocol::Iterm)
    } else {
        None
    }
}

fn escaped(png: &[u8], protocol: Protocol) -> String {
    let text = BASE64_STANDARD.encode(png);
    match protocol {
        Protocol::Iterm => format!("\x1b]1337;File=inline=1;size={}:{text}\x07", png.len()),
        Protocol::Kitty => {
            let mut parts = String::new();
            let mut rest = text.as_str();
            let mut head = "a=T,f=100,";
            while !rest.is_empty() {
                let (part, further) = rest.split_at(rest.len().min(CHUNK));
                let more = u8::from(!further.is_empty());
                parts.push_str(&format!("\x1b_G{head}m={more};{part}\x1b\\"));
                (rest, head) = (further, "");
            }
            parts
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(variables: &[(&str, &str)]) -> Option<Protocol> {
        protocol(&|name| variables.iter().find(|(key, _)| *key == name).map(|(_, value)| (*value).to_owned()))
    }

    #[test]
    fn only_terminals_that_say_so_are_sent_a_picture() {
        assert_eq!(of(&[("TERM", "xterm-kitty")]), Some(Protocol::Kitty));
        assert_eq!(of(&[("TERM", "xterm-256color"), ("TERM_PROGRAM", "iTerm.app")]), Some(Protocol::Iterm));
        assert_eq!(of(&[("TERM", "xterm-256color")]), None);
        assert_eq!(of(&[("TERM", "xterm-kitty"), ("TMUX", "/tmp/tmux")]), None);
    }

    #[test]
    fn the_parts_make_the_picture_again() {
        let png: Vec<u8> = (0..10_000_u32).map(|i| (i % 251) as u8).collect();
        let text = escaped(&png, Protocol::Kitty);
        let parts: Vec<&str> = text.split("\x1b_G").skip(1).collect();
        assert!(parts[0].starts_with("a=T,f=100,m=1;") && parts[parts.len() - 1].starts_with("m=0;"));
        let sent: String =
            parts.iter().map(|part| &part[part.find(';').unwrap() + 1..part.len() - 2]).collect();
        assert_eq!(BASE64_STANDARD.decode(sent).unwrap(), png);
        let text = escaped(&png, Protocol::Iterm);
        assert!(text.starts_with("\x1b]1337;File=inline=1;size=10000:") && text.ends_with('\x07'));
    }
}
