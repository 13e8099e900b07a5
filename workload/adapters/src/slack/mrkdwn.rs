//! Slack's own markup, as far as it hides what was said (docs.slack.dev, "Formatting message text").

/// What people read: links and mentions in words, the three escaped characters as they are.
pub(super) fn plain(text: &str) -> String {
    let mut read = String::with_capacity(text.len());
    let mut rest = text;
    while let Some((before, after)) = rest.split_once('<') {
        read.push_str(before);
        let Some((inside, behind)) = after.split_once('>') else {
            read.push('<');
            rest = after;
            continue;
        };
        read.push_str(&shown(inside));
        rest = behind;
    }
    read.push_str(rest);
    // In this order: `&amp;lt;` is what somebody wrote as `&lt;`.
    read.replace("&lt;", "<")
        .replace("&gt;", ">")
        .replace("&amp;", "&")
}

/// What stands between `<` and `>`, in words.
fn shown(inside: &str) -> String {
    let (target, label) = inside
        .split_once('|')
        .map_or((inside, None), |(target, label)| (target, Some(label)));
    let label = label.filter(|label| !label.is_empty());
    match target.chars().next() {
        Some('@') => format!("@{}", label.unwrap_or(&target[1..])),
        Some('#') => format!("#{}", label.unwrap_or(&target[1..])),
        Some('!') => label.map_or_else(
            || format!("@{}", target[1..].split('^').next().unwrap_or_default()),
            str::to_owned,
        ),
        _ => match label {
            Some(label) if !target.ends_with(label) => format!("{label} ({target})"),
            _ => target.to_owned(),
        },
    }
}

/// A text without the mention that it begins with, if it does.
pub(super) fn without_first_mention(text: &str) -> &str {
    let trimmed = text.trim_start();
    match trimmed
        .strip_prefix("<@")
        .and_then(|rest| rest.split_once('>'))
    {
        Some((_, rest)) => rest.trim(),
        None => trimmed,
    }
}

/// An answer in which nothing is markup that reaches somebody.
pub(super) fn escaped(text: &str) -> String {
    text.replace('&', "&amp;")
        .replace('<', "&lt;")
        .replace('>', "&gt;")
}

/// What a character costs once it is escaped, in UTF-16 code units.
pub(super) fn cost(character: char) -> usize {
    match character {
        '&' => 5,
        '<' | '>' => 4,
        other => other.len_utf16(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn markup_is_read_as_people_see_it() {
        for (written, read) in [
            ("1 &lt; 2 &amp;&amp; 3 &gt; 2", "1 < 2 && 3 > 2"),
            ("&amp;lt;", "&lt;"),
            (
                "see <https://a.example/b|the page>",
                "see the page (https://a.example/b)",
            ),
            ("<http://a.example|a.example>", "http://a.example"),
            (
                "<@U1> and <@U2|bob> in <#C1|general>",
                "@U1 and @bob in #general",
            ),
            (
                "<!here> <!subteam^S1|@team> <!date^1^x|soon>",
                "@here @team soon",
            ),
            ("a < b", "a < b"),
            ("<", "<"),
            ("<>", ""),
        ] {
            assert_eq!(plain(written), read);
        }
    }

    #[test]
    fn an_answer_can_mention_nobody_and_is_read_as_it_was() {
        let answer = "<!channel> & <@U1> &lt;";
        assert!(!escaped(answer).contains('<'));
        assert_eq!(plain(&escaped(answer)), answer);
        assert_eq!(
            answer.chars().map(cost).sum::<usize>(),
            escaped(answer).len()
        );
    }
}
