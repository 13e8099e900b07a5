//! What a platform says of a message besides its text.

use serde::{Deserialize, Serialize};

/// What a platform says of a message besides its text. Everything is optional, and a record without it still parses.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct Details {
    /// The platform's id of the message itself, by which a reply can quote it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub platform_id: Option<String>,
    /// The platform's id of the earlier message that this one answers.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub reply_to: Option<String>,
    /// The platform's id of the message whose text this one replaces; present for edits only.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub edit_of: Option<String>,
    /// The command that the text is, without its slash and its arguments, such as `start`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub command: Option<String>,
    /// The group that it was said in; absent where nobody else reads along.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub group: Option<String>,
    /// What was attached, by reference: nothing is fetched on the way in.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub attachments: Vec<Attachment>,
    /// The conversation so far, where the client keeps it and sends it along; it stands in for the session.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub history: Option<Vec<Turn>>,
}

impl Details {
    /// Whether the platform says nothing.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self == &Self::default()
    }
}

/// Something attached to a message.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Attachment {
    /// What it is.
    pub kind: AttachmentKind,
    /// The platform's id of it, or its URL: a claim of the sender's platform, to be fetched with care.
    pub reference: String,
    /// The file's name, if it has one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub name: Option<String>,
    /// The media type, such as `image/jpeg`, if the platform says.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub media_type: Option<String>,
    /// Its size in bytes, if the platform says.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub bytes: Option<u64>,
}

/// Kinds of attachments.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
#[allow(missing_docs)] // The names are the documentation.
pub enum AttachmentKind {
    Image,
    Audio,
    Video,
    Sticker,
    File,
}

/// One turn of a conversation that a client sends along.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[allow(missing_docs)] // The names are the documentation.
pub struct Turn {
    pub question: String,
    pub answer: String,
}
