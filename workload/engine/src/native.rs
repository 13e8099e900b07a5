//! The C library as a whole: started once in a process, its log turned into ours.

use std::ffi::{CStr, c_char, c_void};
use std::sync::{Mutex, OnceLock, PoisonError};

use llama_cpp_2::llama_backend::LlamaBackend;

/// The last line that the library logged as an error: its functions only say that they failed, not why.
static LAST_ERROR: Mutex<Option<String>> = Mutex::new(None);

/// Starts the library, the first time. Absent when another user of it in this process came first.
pub(crate) fn backend() -> Option<&'static LlamaBackend> {
    static BACKEND: OnceLock<Option<LlamaBackend>> = OnceLock::new();
    BACKEND
        .get_or_init(|| {
            // SAFETY: `forward` is a function with the right signature that uses no user data and never unwinds.
            unsafe { llama_cpp_sys_2::llama_log_set(Some(forward), std::ptr::null_mut()) };
            LlamaBackend::init().ok()
        })
        .as_ref()
}

/// Why the library failed, as far as it said, and forgets it.
pub(crate) fn last_error() -> String {
    LAST_ERROR
        .lock()
        .unwrap_or_else(PoisonError::into_inner)
        .take()
        .unwrap_or_else(|| "the engine did not say why".to_owned())
}

unsafe extern "C" fn forward(
    level: llama_cpp_sys_2::ggml_log_level,
    text: *const c_char,
    _: *mut c_void,
) {
    if text.is_null() {
        return;
    }
    // SAFETY: the library passes a string that ends with NUL and lives until this function returns.
    let text = unsafe { CStr::from_ptr(text) }.to_string_lossy();
    let text = text.trim();
    if text.is_empty() || text == "." {
        return;
    }
    if level == llama_cpp_sys_2::GGML_LOG_LEVEL_ERROR {
        *LAST_ERROR.lock().unwrap_or_else(PoisonError::into_inner) = Some(text.to_owned());
    }
    tracing::debug!(target: "llama", "{text}");
}
