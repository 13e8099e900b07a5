//! What a text must look like; each is one of the regular expressions of the schema.

pub(super) fn is_word(character: char) -> bool {
    character.is_ascii_alphanumeric() || "-_.".contains(character)
}

fn is_lower(character: char) -> bool {
    character.is_ascii_lowercase() || character.is_ascii_digit()
}

/// Whether a text consists of certain characters, and begins and ends with certain ones.
fn consists_of(text: &str, inside: impl Fn(char) -> bool, ends: impl Fn(char) -> bool) -> bool {
    text.chars().all(inside) && text.starts_with(&ends) && text.ends_with(&ends)
}

pub(super) fn is_label(text: &str) -> bool {
    consists_of(
        text,
        |character| is_lower(character) || character == '-',
        is_lower,
    )
}

pub(super) fn is_cluster_name(text: &str) -> bool {
    text.len() <= 40 && is_label(text) && text.starts_with(|first: char| first.is_ascii_lowercase())
}

pub(super) fn is_object_name(text: &str) -> bool {
    text.split('.').all(is_label)
}

/// Whether a text can be given to a program: no control characters but those that lay it out.
pub(super) fn is_text(text: &str) -> bool {
    !text
        .chars()
        .any(|character| character.is_ascii_control() && !"\t\n\r".contains(character))
}

/// Whether a text can be the key of a Secret or a `ConfigMap`, which is also a file's name.
pub(super) fn is_key(text: &str) -> bool {
    text.chars().all(is_word) && text != "." && !text.starts_with("..")
}

/// Whether a text can be a host's name in DNS, and is no address.
pub(super) fn is_host(text: &str) -> bool {
    text.split('.')
        .all(|label| label.len() <= 63 && is_label(label))
        && text
            .rsplit('.')
            .next()
            .is_some_and(|last| last.starts_with(|first: char| first.is_ascii_lowercase()))
}

/// Whether a text can be the reference of an image: `[HOST[:PORT]/]PATH[:TAG][@sha256:DIGEST]`.
pub(super) fn is_image(text: &str) -> bool {
    let (named, digest) = text
        .split_once('@')
        .map_or((text, None), |(named, digest)| (named, Some(digest)));
    let (before, last) = named
        .rsplit_once('/')
        .map_or((None, named), |(before, last)| (Some(before), last));
    let (last, tag) = last
        .split_once(':')
        .map_or((last, None), |(last, tag)| (last, Some(tag)));
    let begins = |before: &str| {
        let (first, others) = before
            .split_once('/')
            .map_or((before, None), |(first, others)| (first, Some(others)));
        (is_registry(first) || is_path_component(first))
            && others.is_none_or(|others| others.split('/').all(is_path_component))
    };
    before.is_none_or(begins)
        && is_path_component(last)
        && tag.is_none_or(is_tag)
        && digest.is_none_or(is_digest)
}

fn is_registry(text: &str) -> bool {
    let (host, port) = match text.split_once(']') {
        Some((address, port)) if address.starts_with('[') => {
            let port = if port.is_empty() {
                Some("443")
            } else {
                port.strip_prefix(':')
            };
            let hex = |digit: char| digit.is_ascii_hexdigit() || digit == ':';
            let is_address = address.len() > 1 && address.chars().skip(1).all(hex);
            return is_address && port.is_some_and(is_number);
        }
        _ => text.split_once(':').unwrap_or((text, "443")),
    };
    let label = |label: &str| {
        let ends = |character: char| character.is_ascii_alphanumeric();
        consists_of(label, |inside| ends(inside) || inside == '-', ends)
    };
    is_number(port) && host.split('.').all(label)
}

fn is_number(text: &str) -> bool {
    !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit())
}

fn is_path_component(text: &str) -> bool {
    let mut between = text.split(is_lower);
    text.starts_with(is_lower)
        && text.ends_with(is_lower)
        && between.all(|between| {
            matches!(between, "." | "_" | "__") || between.bytes().all(|byte| byte == b'-')
        })
}

fn is_tag(text: &str) -> bool {
    (1..=128).contains(&text.len()) && text.chars().all(is_word) && !text.starts_with(['-', '.'])
}

fn is_digest(text: &str) -> bool {
    let hex = |byte: u8| byte.is_ascii_digit() || (b'a'..=b'f').contains(&byte);
    text.strip_prefix("sha256:")
        .is_some_and(|digest| digest.len() == 64 && digest.bytes().all(hex))
}

/// Whether a text can be the name of a variable of the environment.
pub(super) fn is_env_name(text: &str) -> bool {
    text.chars()
        .all(|character| character.is_ascii_alphanumeric() || character == '_')
        && text.starts_with(|first: char| first.is_ascii_alphabetic() || first == '_')
}

pub(super) fn is_origin(text: &str) -> bool {
    let rest = text
        .strip_prefix("https://")
        .or_else(|| text.strip_prefix("http://"));
    let Some(rest) = rest else {
        return false;
    };
    let (host, port) = match rest.strip_prefix('[') {
        Some(rest) => match rest.split_once(']') {
            Some((address, port)) if is_address(address) => ("", port),
            _ => return false,
        },
        None => rest.split_at(rest.find(':').unwrap_or(rest.len())),
    };
    (is_server_name(host) || rest.starts_with('['))
        && (port.is_empty() || port.strip_prefix(':').is_some_and(is_port))
}

/// Whether a text is `host:port`.
pub(super) fn is_server(text: &str) -> bool {
    text.split_once(':')
        .is_some_and(|(host, port)| is_server_name(host) && is_port(port))
}

/// Whether a text can stand for a server in an address: a name, or an address of version 4.
fn is_server_name(text: &str) -> bool {
    !text.is_empty()
        && text
            .chars()
            .all(|character| is_visible(character) && !"[]:/@?#*".contains(character))
}

fn is_visible(character: char) -> bool {
    character != ' ' && !character.is_ascii_control()
}

fn is_address(text: &str) -> bool {
    let of_address = |digit: char| digit.is_ascii_hexdigit() || ":.".contains(digit);
    !text.is_empty() && text.chars().all(of_address)
}

/// Whether a text is a port as it is usually written.
fn is_port(text: &str) -> bool {
    is_number(text) && !text.starts_with('0') && text.parse::<u16>().is_ok()
}

/// Whether a text is an address of http or https that holds no credentials.
pub(super) fn is_url(text: &str) -> bool {
    let path = text
        .match_indices('/')
        .nth(2)
        .map_or(text.len(), |(start, _)| start);
    is_origin(&text[..path]) && text[path..].chars().all(is_visible)
}

pub(super) fn is_temperature(text: &str) -> bool {
    let (whole, fraction) = text.split_once('.').unwrap_or((text, "0"));
    let digits =
        (1..=2).contains(&fraction.len()) && fraction.bytes().all(|byte| byte.is_ascii_digit());
    digits
        && (matches!(whole, "0" | "1")
            || (whole == "2" && fraction.bytes().all(|byte| byte == b'0')))
}

pub(super) fn is_label_value(text: &str) -> bool {
    text.is_empty() || consists_of(text, is_word, |character| character.is_ascii_alphanumeric())
}

/// Whether a text can be the key of a label, an annotation or a taint.
pub(super) fn is_qualified_name(text: &str) -> bool {
    let (prefix, name) = text
        .split_once('/')
        .map_or((None, text), |(prefix, name)| (Some(prefix), name));
    prefix.is_none_or(|prefix| prefix.len() <= 253 && is_object_name(prefix))
        && name.len() <= 63
        && !name.is_empty()
        && is_label_value(name)
}

/// Whether a text can be a device's resource. Quotas put `requests.` before it.
pub(super) fn is_device(text: &str) -> bool {
    is_qualified_name(text) && text.find('/').is_some_and(|prefix| prefix <= 253 - 9)
}
