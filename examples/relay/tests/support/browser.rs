//! Chromium without a window, driven by its own protocol (Chrome DevTools Protocol) over a pipe.

use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::Duration;

use base64::prelude::{BASE64_STANDARD, Engine as _};
use serde_json::{Value, json};
use tokio::io::{AsyncBufReadExt as _, AsyncWriteExt as _, BufReader};
use tokio::process::{Child, ChildStdin, ChildStdout, Command};
use tokio::time::{Instant, sleep, timeout};

/// How long anything in the browser may take.
const LIMIT: Duration = Duration::from_secs(30);

/// Chromium reads commands from descriptor 3 and answers on 4.
const START: &str = "exec chromium \"$@\" 3<&0 4>&1 </dev/null >/dev/null 2>&1";

/// For tests as root, without a screen, and without a word to others.
const ARGUMENTS: &[&str] = &[
    "--remote-debugging-pipe",
    "--headless",
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--disable-dev-shm-usage",
];

/// A browser with one page. It is killed when it is dropped.
pub struct Browser {
    process: Child,
    commands: ChildStdin,
    answers: BufReader<ChildStdout>,
    session: Option<String>,
    last: u64,
    profile: PathBuf,
}

impl Browser {
    /// Starts a browser with an empty profile, and opens a page.
    pub async fn open(url: &str) -> Self {
        let profile = Path::new(env!("CARGO_TARGET_TMPDIR")).join(format!("chromium-{}", std::process::id()));
        let mut command = Command::new("sh");
        command.args(["-c", START, "chromium"]).args(ARGUMENTS);
        command.arg(format!("--user-data-dir={}", profile.display()));
        command.stdin(Stdio::piped()).stdout(Stdio::piped()).kill_on_drop(true);
        let mut process = command.spawn().unwrap();
        let commands = process.stdin.take().unwrap();
        let answers = BufReader::new(process.stdout.take().unwrap());
        let mut browser = Self { process, commands, answers, session: None, last: 0, profile };
        let page = browser.call("Target.createTarget", json!({ "url": "about:blank" })).await;
        let attach = json!({ "targetId": page["targetId"], "flatten": true });
        let session = browser.call("Target.attachToTarget", attach).await;
        browser.session = Some(session["sessionId"].as_str().unwrap().to_owned());
        browser.call("Page.navigate", json!({ "url": url })).await;
        browser.until("document.readyState === 'complete'").await;
        browser
    }

    /// Sends a command, and returns its result.
    async fn call(&mut self, method: &str, params: Value) -> Value {
        self.last += 1;
        let mut command = json!({ "id": self.last, "method": method, "params": params });
        if let Some(session) = &self.session {
            command["sessionId"] = json!(session);
        }
        self.commands.write_all(format!("{command}\0").as_bytes()).await.unwrap();
        let answer = timeout(LIMIT, self.answer()).await;
        let mut answer = answer.unwrap_or_else(|_| panic!("chromium does not answer {method}"));
        assert!(answer["error"].is_null(), "{method}: {}", answer["error"]);
        answer["result"].take()
    }

    /// Returns the answer to the last command, and skips what else the browser says.
    async fn answer(&mut self) -> Value {
        loop {
            let mut answer = Vec::new();
            let length = self.answers.read_until(0, &mut answer).await.unwrap();
            assert!(length > 0, "chromium has ended; is it installed?");
            let answer: Value = serde_json::from_slice(&answer[..length - 1]).unwrap();
            if answer["id"] == self.last {
                return answer;
            }
        }
    }

    /// Returns the value of an expression in the page; promises are awaited.
    pub async fn eval(&mut self, expression: &str) -> Value {
        let params = json!({ "expression": expression, "awaitPromise": true, "returnByValue": true });
        let mut result = self.call("Runtime.evaluate", params).await;
        assert!(result["exceptionDetails"].is_null(), "{expression}: {result}");
        result["result"]["value"].take()
    }

    /// Waits until an expression is true in the page.
    pub async fn until(&mut self, expression: &str) {
        let start = Instant::now();
        while self.eval(expression).await != true {
            if start.elapsed() > LIMIT {
                panic!("{expression} is not true in: {}", self.eval("document.body.innerText").await);
            }
            sleep(Duration::from_millis(20)).await;
        }
    }

    /// Sets the width of the window, and whether the user prefers dark colours.
    pub async fn look(&mut self, width: u32, scheme: &str) {
        let metrics = json!({ "width": width, "height": 900, "deviceScaleFactor": 1, "mobile": width < 500 });
        self.call("Emulation.setDeviceMetricsOverride", metrics).await;
        let features = json!({ "features": [{ "name": "prefers-color-scheme", "value": scheme }] });
        self.call("Emulation.setEmulatedMedia", features).await;
        // Two frames: one to lay out, one to draw.
        self.eval("new Promise(done => requestAnimationFrame(() => requestAnimationFrame(() => done(true))))").await;
    }

    /// Returns a picture of the whole page, as PNG.
    pub async fn picture(&mut self) -> Vec<u8> {
        let params = json!({ "format": "png", "captureBeyondViewport": true });
        let picture = self.call("Page.captureScreenshot", params).await;
        BASE64_STANDARD.decode(picture["data"].as_str().unwrap()).unwrap()
    }

    /// Closes the browser, and removes its profile.
    pub async fn close(mut self) {
        self.session = None;
        self.call("Browser.close", json!({})).await;
        timeout(LIMIT, self.process.wait()).await.unwrap().unwrap();
        std::fs::remove_dir_all(&self.profile).unwrap();
    }
}
