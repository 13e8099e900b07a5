//! Feishu's envelope: AES-256-CBC under SHA-256 of the encrypt key.

use aes::Aes256;
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use cbc::Decryptor;
use cbc::cipher::block_padding::Pkcs7;
use cbc::cipher::{BlockDecryptMut, KeyIvInit};

use crate::sign;

const BLOCK: usize = 16;

/// What is in base64 of IV and ciphertext. Nothing tells why it is not to be had: a message of the padding's fault would
/// help whoever guesses.
pub(super) fn decrypted(text: &str, key: &str) -> Option<Vec<u8>> {
    let bytes = STANDARD.decode(text).ok()?;
    let (iv, ciphertext) = bytes.split_at_checked(BLOCK)?;
    Decryptor::<Aes256>::new_from_slices(&sign::sha256(&[key.as_bytes()]), iv)
        .ok()?
        .decrypt_padded_vec_mut::<Pkcs7>(ciphertext)
        .ok()
}

#[cfg(test)]
pub(super) fn encrypted(plain: &[u8], key: &str, iv: [u8; BLOCK]) -> String {
    use cbc::cipher::BlockEncryptMut;
    let encryptor =
        cbc::Encryptor::<Aes256>::new(&sign::sha256(&[key.as_bytes()]).into(), &iv.into());
    let ciphertext = encryptor.encrypt_padded_vec_mut::<Pkcs7>(plain);
    STANDARD.encode([iv.as_slice(), &ciphertext].concat())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_vector_of_the_platform_s_documents_is_read() {
        let text = "P37w+VZImNgPEO1RBhJ6RtKl7n6zymIbEG1pReEzghk=";
        assert_eq!(
            decrypted(text, "test key").as_deref(),
            Some(&b"hello world"[..])
        );
        assert_ne!(
            decrypted(text, "test kez").as_deref(),
            Some(&b"hello world"[..])
        );
    }

    #[test]
    fn what_is_no_envelope_is_nothing() {
        for text in [
            "",
            "%",
            "AAAA",
            &STANDARD.encode([0; 16]),
            &STANDARD.encode([0; 31]),
        ] {
            assert_eq!(decrypted(text, "key"), None, "{text}");
        }
        let whole = encrypted(b"{}", "key", [7; 16]);
        assert_eq!(decrypted(&whole, "key").as_deref(), Some(&b"{}"[..]));
    }
}
