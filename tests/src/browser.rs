//! A real Chromium, driven by chromedriver over the WebDriver protocol.

use std::{
    fs,
    path::Path,
    process::{Command, Stdio},
    time::Duration,
};

use serde_json::{Value, json};
use tempfile::TempDir;

use crate::{Process, find_program, free_port, require, wait_until};

const HOW_TO_GET: &str = "Debian and Ubuntu have it in the packages chromium and chromium-driver";
const START: Duration = Duration::from_secs(60);
const ANSWER: Duration = Duration::from_secs(120);
/// How WebDriver names an element in its JSON.
const ELEMENT: &str = "element-6066-11e4-a52e-4f735466cecf";
/// Nothing is asked of the network but what a page asks for.
const FLAGS: [&str; 10] = [
    "--headless",
    "--no-sandbox",
    "--disable-gpu",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--disable-dev-shm-usage",
    "--hide-scrollbars",
    "--accept-lang=zh-CN",
];

/// A browser with one window. It ends with the test.
#[derive(Debug)]
pub struct Browser {
    _driver: Process,
    _profile: TempDir,
    agent: ureq::Agent,
    session: String,
}

impl Browser {
    /// Starts a browser. None, with a word on standard error, where it is missing.
    pub fn start() -> Option<Self> {
        let chromium = require(find_program("chromium"), "chromium", HOW_TO_GET)?;
        let driver = require(find_program("chromedriver"), "chromedriver", HOW_TO_GET)?;
        let port = free_port();
        let child = Command::new(driver)
            .arg(format!("--port={port}"))
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .expect("chromedriver can be run");
        let driver = Process(child);
        let profile = TempDir::new().expect("a temporary folder can be made");
        let agent: ureq::Agent = ureq::Agent::config_builder()
            .timeout_global(Some(ANSWER))
            .http_status_as_error(false)
            .build()
            .into();
        let base = format!("http://127.0.0.1:{port}");
        wait_until("chromedriver answers", START, || agent.get(format!("{base}/status")).call().is_ok());
        let mut arguments: Vec<String> = FLAGS.iter().map(|flag| (*flag).to_owned()).collect();
        arguments.push(format!("--user-data-dir={}", profile.path().display()));
        let capabilities = json!({ "capabilities": { "alwaysMatch": {
            "browserName": "chrome",
            "timeouts": { "script": ANSWER.as_millis() },
            "goog:chromeOptions": { "binary": chromium, "args": arguments },
            "goog:loggingPrefs": { "browser": "ALL" },
        } } });
        let answer = post(&agent, &format!("{base}/session"), &capabilities);
        let id = answer["value"]["sessionId"].as_str();
        let id = id.unwrap_or_else(|| panic!("chromium does not start: {answer}"));
        let session = format!("{base}/session/{id}");
        Some(Self { _driver: driver, _profile: profile, agent, session })
    }

    /// Opens an address.
    pub fn open(&self, address: &str) {
        self.ask("url", &json!({ "url": address }));
    }

    /// The window's size in pixels.
    pub fn size(&self, width: u32, height: u32) {
        self.ask("window/rect", &json!({ "width": width, "height": height }));
    }

    /// What a script returns in the page.
    pub fn script(&self, script: &str) -> Value {
        self.ask("execute/sync", &json!({ "script": script, "args": [] }))
    }

    /// Presses keys where the focus is; `\u{e004}` is Tab, `\u{e007}` Enter.
    pub fn press(&self, keys: &str) {
        let active = self.script("return document.activeElement");
        let element =
            active[ELEMENT].as_str().unwrap_or_else(|| panic!("nothing has the focus: {active}")).to_owned();
        self.ask(&format!("element/{element}/value"), &json!({ "text": keys }));
    }

    /// What axe-core finds wrong with the page that keeps people out: rule, and the first places. `axe` is its script.
    pub fn barriers(&self, axe: &str) -> Vec<String> {
        self.script(&format!("{axe}; return true"));
        let run = "const done = arguments[arguments.length - 1];
            axe.run(document, { resultTypes: ['violations'] }).then(
                (found) => done(found.violations.map((one) => `${one.impact} ${one.id}: ${one.help}: `
                    + one.nodes.slice(0, 3).map((node) => node.html.slice(0, 160)).join(' | '))),
                (error) => done([String(error)]));";
        let found = self.ask("execute/async", &json!({ "script": run, "args": [] }));
        let texts = found.as_array().cloned().unwrap_or_default();
        texts.iter().filter_map(|text| text.as_str().map(str::to_owned)).collect()
    }

    /// The page's text.
    pub fn text(&self) -> String {
        self.script("return document.body.innerText").as_str().unwrap_or_default().to_owned()
    }

    /// Clicks what a selector of CSS finds first, as a hand would: it must be visible.
    #[track_caller]
    pub fn click(&self, selector: &str) {
        self.act(selector, "click", &json!({}));
    }

    /// Types into what a selector of CSS finds first.
    #[track_caller]
    pub fn fill(&self, selector: &str, text: &str) {
        self.act(selector, "value", &json!({ "text": text }));
    }

    /// Does something with an element; once more where the page replaced it meanwhile.
    #[track_caller]
    fn act(&self, selector: &str, what: &str, body: &Value) {
        loop {
            let address = format!("{}/element/{}/{what}", self.session, self.element(selector));
            let answer = post(&self.agent, &address, body);
            match answer["value"]["error"].as_str() {
                None => return,
                Some("stale element reference") => {}
                Some(fault) => panic!("{what} of {selector}: {fault}: {}", answer["value"]["message"]),
            }
        }
    }

    #[track_caller]
    fn element(&self, selector: &str) -> String {
        let found = self.ask("element", &json!({ "using": "css selector", "value": selector }));
        found[ELEMENT]
            .as_str()
            .unwrap_or_else(|| panic!("no element {selector} in\n{}", self.text()))
            .to_owned()
    }

    /// What the browser itself complained of since the last look: scripts that failed, contents that were refused.
    pub fn complaints(&self) -> Vec<String> {
        let entries = self.ask("se/log", &json!({ "type": "browser" }));
        let severe = |entry: &&Value| entry["level"] == "SEVERE";
        entries
            .as_array()
            .into_iter()
            .flatten()
            .filter(severe)
            .map(|entry| entry["message"].to_string())
            .collect()
    }

    /// Keeps a picture of the whole page as PNG.
    pub fn picture(&self, file: &Path) {
        let script = "return [document.documentElement.scrollWidth, document.documentElement.scrollHeight]";
        let size = self.script(script);
        let clip = json!({ "x": 0, "y": 0, "width": size[0], "height": size[1], "scale": 1 });
        let parameters = json!({ "format": "png", "captureBeyondViewport": true, "clip": clip });
        let answer =
            self.ask("goog/cdp/execute", &json!({ "cmd": "Page.captureScreenshot", "params": parameters }));
        let text = answer["data"].as_str().unwrap_or_default();
        fs::write(file, base64(text)).expect("the picture can be written");
    }

    #[track_caller]
    fn ask(&self, what: &str, body: &Value) -> Value {
        let answer = post(&self.agent, &format!("{}/{what}", self.session), body);
        let fault = answer["value"]["error"].as_str();
        assert!(fault.is_none(), "{what}: {}", answer["value"]["message"]);
        answer["value"].clone()
    }
}

impl Drop for Browser {
    fn drop(&mut self) {
        // The browser is the driver's child: it is asked to end before the driver is.
        self.agent.delete(&self.session).call().ok();
    }
}

#[track_caller]
fn post(agent: &ureq::Agent, address: &str, body: &Value) -> Value {
    let mut answer = agent.post(address).send_json(body).expect("chromedriver answers");
    answer.body_mut().with_config().limit(64 << 20).read_json().expect("chromedriver speaks JSON")
}

/// Decodes base64 (RFC 4648, with or without padding).
fn base64(text: &str) -> Vec<u8> {
    const ALPHABET: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    let sixes = text.bytes().filter_map(|byte| ALPHABET.iter().position(|known| *known == byte));
    let (mut bytes, mut bits, mut held) = (Vec::new(), 0_usize, 0_usize);
    for six in sixes {
        held = (held << 6 | six) & 0xFFFF;
        bits += 6;
        if bits >= 8 {
            bits -= 8;
            bytes.push(u8::try_from(held >> bits & 0xFF).expect("eight bits"));
        }
    }
    bytes
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn base64_is_that_of_the_standard() {
        for (text, expected) in
            [("", ""), ("Zg==", "f"), ("Zm8=", "fo"), ("Zm9v", "foo"), ("Zm9vYmFy", "foobar")]
        {
            assert_eq!(base64(text), expected.as_bytes());
        }
    }
}
