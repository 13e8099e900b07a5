use super::*;

fn text(out: &mut Vec<u8>, text: &str) {
    out.extend((text.len() as u64).to_le_bytes());
    out.extend(text.as_bytes());
}

/// A file with one `Q8_0` tensor of 64 elements: 68 bytes.
fn small() -> Vec<u8> {
    let mut out = b"GGUF".to_vec();
    out.extend(3_u32.to_le_bytes());
    out.extend(1_u64.to_le_bytes());
    out.extend(2_u64.to_le_bytes());
    text(&mut out, "general.architecture");
    out.extend(8_u32.to_le_bytes());
    text(&mut out, "llama");
    text(&mut out, "tokens");
    out.extend(9_u32.to_le_bytes());
    out.extend(8_u32.to_le_bytes());
    out.extend(2_u64.to_le_bytes());
    text(&mut out, "a");
    text(&mut out, "b");
    text(&mut out, "weights");
    out.extend(2_u32.to_le_bytes());
    out.extend(32_u64.to_le_bytes());
    out.extend(2_u64.to_le_bytes());
    out.extend(8_u32.to_le_bytes());
    out.extend(0_u64.to_le_bytes());
    out.resize(out.len().next_multiple_of(32), 0);
    out.extend([0; 68]);
    out
}

fn read_bytes(bytes: &[u8]) -> Result<Header, Broken> {
    let file = tempfile::NamedTempFile::new().unwrap();
    std::fs::write(file.path(), bytes).unwrap();
    read(file.path())
}

#[test]
fn a_whole_file_tells_its_format_and_parameters() {
    let header = read_bytes(&small()).unwrap();
    assert_eq!(header.format, "Q8_0");
    assert_eq!(header.parameters, 64);
    assert_eq!(header.bytes - header.header_bytes, 68);
}

#[test]
fn wherever_a_file_is_cut_it_is_refused() {
    let whole = small();
    for length in 4..whole.len() {
        let broken = read_bytes(&whole[..length]).unwrap_err();
        assert!(
            matches!(broken, Broken::Truncated { .. }),
            "{length}: {broken}"
        );
    }
}

#[test]
fn a_cut_file_says_how_much_of_it_there_is() {
    let whole = small();
    for (length, says) in [
        (4, "it ends after 4 bytes, within its header".to_owned()),
        (
            whole.len() - 1,
            format!("it has {} of {} bytes", whole.len() - 1, whole.len()),
        ),
    ] {
        let broken = read_bytes(&whole[..length]).unwrap_err().to_string();
        assert!(broken.contains(&says), "{broken}");
    }
}

#[test]
fn what_cannot_be_read_says_who_has_to_be_let() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("model.gguf");
    // As a file of somebody else is to everybody but root: there, and not to be opened.
    let _socket = std::os::unix::net::UnixListener::bind(&path).unwrap();
    let broken = read(&path).unwrap_err();
    assert!(matches!(broken, Broken::Unreadable { .. }), "{broken}");
    let said = broken.to_string();
    assert!(
        said.contains("model.gguf") && said.contains("let the user that this runs as read"),
        "{said}"
    );
}

#[test]
fn what_is_no_model_says_what_it_is() {
    for (bytes, says) in [
        (&b""[..], "empty"),
        (
            b"version https://git-lfs.github.com/spec/v1",
            "Git LFS pointer",
        ),
        (b"<html>", "begins with `<htm`"),
    ] {
        let broken = read_bytes(bytes).unwrap_err().to_string();
        assert!(
            broken.contains("not a GGUF file") && broken.contains(says),
            "{broken}"
        );
    }
    let missing = read(Path::new("/nonexistent/model.gguf"))
        .unwrap_err()
        .to_string();
    assert!(
        missing.starts_with("no model at `/nonexistent/model.gguf`"),
        "{missing}"
    );
}

#[test]
fn no_single_wrong_byte_of_the_header_panics() {
    let whole = small();
    for place in 0..whole.len() - 68 {
        for value in [0, 1, 0x7f, 0xff] {
            let mut bytes = whole.clone();
            bytes[place] = value;
            drop(read_bytes(&bytes));
        }
    }
}
