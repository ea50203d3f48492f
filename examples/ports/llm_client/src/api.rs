//! [`Api`]: what two styles of API send, as the same chunks.

use serde::Deserialize;
use serde_json::{Value, json};
use sseclient::Event;
use sseclient::http::HeaderMap;
use sseclient::http::header::{AUTHORIZATION, HeaderName, HeaderValue};

use crate::error::LlmError;

/// The most tokens of an answer. Anthropic's API wants a limit.
const MAX_TOKENS: u32 = 4096;

/// A style of API.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Api {
    /// Chat completions, which most servers imitate: the last event is `[DONE]`.
    OpenAi,
    /// Messages: typed events, the last of which is a `message_stop`.
    Anthropic,
}

/// A piece of an answer.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum Chunk {
    /// A piece of the answer's text.
    Text(String),
    /// A piece of what the model thinks before it answers.
    Thinking(String),
    /// A piece of the reason why the model does not answer.
    Refusal(String),
    /// A piece of a call of a tool.
    ToolCall {
        /// Which call: there may be several.
        index: u32,
        /// The call's ID, in its first piece.
        id: Option<String>,
        /// The tool's name, in its first piece.
        name: Option<String>,
        /// A piece of JSON.
        arguments: String,
    },
    /// The answer is complete.
    End {
        /// Why: `stop`, `end_turn`, `length`, for example.
        stop_reason: Option<String>,
        /// What it cost.
        usage: Usage,
    },
}

/// How many tokens an answer took; `None` if the server did not say.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Deserialize)]
#[serde(from = "ToldUsage")]
pub struct Usage {
    /// Tokens of the question.
    pub input_tokens: Option<u64>,
    /// Tokens of the answer.
    pub output_tokens: Option<u64>,
}

/// The usage in the words of either API. Some gateways send both.
#[derive(Deserialize)]
struct ToldUsage {
    input_tokens: Option<u64>,
    output_tokens: Option<u64>,
    prompt_tokens: Option<u64>,
    completion_tokens: Option<u64>,
}

impl From<ToldUsage> for Usage {
    fn from(told: ToldUsage) -> Self {
        // The words that a gateway does not mean are often 0.
        Self {
            input_tokens: told.input_tokens.max(told.prompt_tokens),
            output_tokens: told.output_tokens.max(told.completion_tokens),
        }
    }
}

impl Usage {
    /// Takes newer numbers. Anthropic's API sends them in two events.
    pub(crate) fn update(&mut self, newer: Option<Self>) {
        let newer = newer.unwrap_or_default();
        self.input_tokens = newer.input_tokens.or(self.input_tokens);
        self.output_tokens = newer.output_tokens.or(self.output_tokens);
    }
}

/// What one event says.
#[derive(Debug, Default)]
pub(crate) struct News {
    pub(crate) chunks: Vec<Chunk>,
    pub(crate) stop_reason: Option<String>,
    pub(crate) usage: Option<Usage>,
}

impl Api {
    pub(crate) fn headers(self, key: &str) -> Result<HeaderMap, LlmError> {
        let value = match self {
            Self::OpenAi => HeaderValue::try_from(format!("Bearer {key}")),
            Self::Anthropic => HeaderValue::try_from(key),
        };
        let mut value = value.map_err(|error| LlmError::Request(error.into()))?;
        value.set_sensitive(true);
        Ok(match self {
            Self::OpenAi => HeaderMap::from_iter([(AUTHORIZATION, value)]),
            Self::Anthropic => HeaderMap::from_iter([
                (HeaderName::from_static("x-api-key"), value),
                (HeaderName::from_static("anthropic-version"), HeaderValue::from_static("2023-06-01")),
            ]),
        })
    }

    pub(crate) fn question(self, model: &str, prompt: &str) -> Value {
        let messages = json!([{ "role": "user", "content": prompt }]);
        match self {
            // Without the option there is no usage.
            Self::OpenAi => {
                let options = json!({ "include_usage": true });
                json!({ "model": model, "stream": true, "stream_options": options, "messages": messages })
            }
            Self::Anthropic => {
                json!({ "model": model, "stream": true, "max_tokens": MAX_TOKENS, "messages": messages })
            }
        }
    }

    /// Returns true for the last event of an answer.
    pub(crate) fn ends(self, event: &Event) -> bool {
        match self {
            Self::OpenAi => event.data() == "[DONE]",
            Self::Anthropic => event.event_type() == "message_stop",
        }
    }
}

/// Reads the events of one answer.
pub(crate) struct Reader {
    api: Api,
    /// Anthropic's API: the newest block that is none of this client's, such as a call of a tool that
    /// the server runs by itself.
    other_block: Option<u32>,
}

impl Reader {
    pub(crate) fn new(api: Api) -> Self {
        Self { api, other_block: None }
    }

    pub(crate) fn read(&mut self, event: &Event) -> Result<News, LlmError> {
        let malformed = |error: sseclient::Error| LlmError::Malformed(error.to_string());
        match self.api {
            Api::OpenAi => event.json::<OpenAiEvent>().map_err(malformed)?.news(),
            Api::Anthropic => event.json::<AnthropicEvent>().map_err(malformed)?.news(&mut self.other_block),
        }
    }
}

/// An event in the style of OpenAI. Servers leave out, or set to null, what they do not use.
#[derive(Deserialize)]
struct OpenAiEvent {
    choices: Option<Vec<Choice>>,
    usage: Option<Usage>,
    error: Option<Value>,
}

#[derive(Deserialize)]
struct Choice {
    delta: Option<Delta>,
    finish_reason: Option<String>,
}

#[derive(Deserialize)]
struct Delta {
    content: Option<String>,
    reasoning_content: Option<String>,
    refusal: Option<String>,
    tool_calls: Option<Vec<ToolCall>>,
}

#[derive(Deserialize)]
struct ToolCall {
    #[serde(default)]
    index: u32,
    id: Option<String>,
    function: Function,
}

#[derive(Deserialize)]
struct Function {
    name: Option<String>,
    arguments: Option<String>,
}

impl OpenAiEvent {
    fn news(&self) -> Result<News, LlmError> {
        if let Some(error) = &self.error {
            return Err(failure(error));
        }
        let choice = self.choices.iter().flatten().next();
        let stop_reason = choice.and_then(|choice| choice.finish_reason.clone());
        let chunks = choice.and_then(|choice| choice.delta.as_ref()).map(Delta::chunks).unwrap_or_default();
        Ok(News { chunks, stop_reason, usage: self.usage })
    }
}

impl Delta {
    fn chunks(&self) -> Vec<Chunk> {
        let text = |text: &Option<String>| text.clone().filter(|text| !text.is_empty());
        let thinking = text(&self.reasoning_content).map(Chunk::Thinking);
        let texts = text(&self.content).map(Chunk::Text).into_iter().chain(text(&self.refusal).map(Chunk::Refusal));
        let calls = self.tool_calls.iter().flatten().map(|call| Chunk::ToolCall {
            index: call.index,
            id: call.id.clone(),
            name: call.function.name.clone(),
            arguments: call.function.arguments.clone().unwrap_or_default(),
        });
        thinking.into_iter().chain(texts).chain(calls).collect()
    }
}

/// An event in the style of Anthropic. There may be types that came later.
#[derive(Deserialize)]
#[serde(tag = "type", rename_all = "snake_case")]
enum AnthropicEvent {
    MessageStart {
        message: MessageHead,
    },
    ContentBlockStart {
        index: u32,
        content_block: Content,
    },
    ContentBlockDelta {
        index: u32,
        delta: Content,
    },
    MessageDelta {
        delta: MessageEnd,
        usage: Option<Usage>,
    },
    Error {
        error: Value,
    },
    #[serde(other)]
    Other,
}

#[derive(Deserialize)]
struct MessageHead {
    usage: Option<Usage>,
}

#[derive(Deserialize)]
struct MessageEnd {
    stop_reason: Option<String>,
}

#[derive(Deserialize)]
#[serde(tag = "type", rename_all = "snake_case")]
enum Content {
    #[serde(alias = "text_delta")]
    Text {
        text: String,
    },
    #[serde(alias = "thinking_delta")]
    Thinking {
        thinking: String,
    },
    ToolUse {
        id: String,
        name: String,
    },
    InputJsonDelta {
        partial_json: String,
    },
    #[serde(other)]
    Other,
}

impl AnthropicEvent {
    fn news(&self, other_block: &mut Option<u32>) -> Result<News, LlmError> {
        if let Self::ContentBlockStart { index, content_block: Content::Other } = self {
            *other_block = Some(*index);
        }
        Ok(match self {
            Self::MessageStart { message } => News { usage: message.usage, ..News::default() },
            Self::ContentBlockDelta { index, delta: Content::InputJsonDelta { .. } }
                if Some(*index) == *other_block =>
            {
                News::default()
            }
            Self::ContentBlockStart { index, content_block: content }
            | Self::ContentBlockDelta { index, delta: content } => {
                News { chunks: content.chunk(*index).into_iter().collect(), ..News::default() }
            }
            Self::MessageDelta { delta, usage } => {
                News { stop_reason: delta.stop_reason.clone(), usage: *usage, ..News::default() }
            }
            Self::Error { error } => return Err(failure(error)),
            Self::Other => News::default(),
        })
    }
}

impl Content {
    fn chunk(&self, index: u32) -> Option<Chunk> {
        let (id, name, arguments) = match self {
            Self::Text { text } => return (!text.is_empty()).then(|| Chunk::Text(text.clone())),
            Self::Thinking { thinking } => return (!thinking.is_empty()).then(|| Chunk::Thinking(thinking.clone())),
            Self::ToolUse { id, name } => (Some(id.clone()), Some(name.clone()), String::new()),
            Self::InputJsonDelta { partial_json } => (None, None, partial_json.clone()),
            Self::Other => return None,
        };
        Some(Chunk::ToolCall { index, id, name, arguments })
    }
}

/// Returns the failure in an event: an object, or a text alone.
fn failure(error: &Value) -> LlmError {
    let text = |value: &Value| value.as_str().map(str::to_owned);
    let message = text(&error["message"]).or_else(|| text(error)).unwrap_or_else(|| error.to_string());
    LlmError::Failed { kind: text(&error["type"]), message }
}
