use super::*;

fn launch(folder: &Path, script: &str) -> Launch {
    Launch {
        files: Files::of(folder, "job", 1),
        command: ["/bin/sh", "-c", script].map(str::to_owned).to_vec(),
        environment: vec![("PATH".to_owned(), "/usr/bin:/bin".to_owned())],
        secrets: vec![("s.key".to_owned(), Secret::new("hunter2"))],
        output_bytes_max: 4096,
    }
}

const LIMITS: Limits = Limits {
    timeout: Duration::from_secs(20),
    stop_grace: Duration::from_millis(200),
};

#[tokio::test]
async fn exit_and_output_are_kept_and_secrets_are_not() {
    let folder = tempfile::tempdir().unwrap();
    let launch = launch(
        folder.path(),
        "pwd; cat ../.state/job.1.secrets/s.key >&2; env | sort; exit 3",
    );
    let files = launch.files.clone();
    let running = start(launch).unwrap();
    let exit = running
        .finish(&CancellationToken::new(), LIMITS)
        .await
        .unwrap();
    assert_eq!(exit, Exit::Code(3));
    assert_eq!(committed(&files), Some(Exit::Code(3)));
    assert!(!files.secrets.exists());
    let output = fs::read_to_string(&files.output).unwrap();
    let mut lines = output.lines();
    assert_eq!(lines.next(), files.work.to_str());
    assert!(
        lines.next().is_some_and(|line| line.starts_with("hunter2")),
        "{output}"
    );
}

#[tokio::test]
async fn output_is_cut() {
    let folder = tempfile::tempdir().unwrap();
    let launch = launch(
        folder.path(),
        "i=0; while [ $i -lt 9999 ]; do echo line $i; i=$((i+1)); done",
    );
    let files = launch.files.clone();
    let exit = start(launch)
        .unwrap()
        .finish(&CancellationToken::new(), LIMITS)
        .await
        .unwrap();
    assert_eq!(exit, Exit::Code(0));
    let output = fs::read_to_string(&files.output).unwrap();
    assert!(
        output.len() < 4200 && output.contains("[output cut after 4096 bytes]"),
        "{output}"
    );
}

#[tokio::test]
async fn the_whole_group_ends() {
    let folder = tempfile::tempdir().unwrap();
    let launch = launch(
        folder.path(),
        "sleep 600 & echo $! > child; trap '' TERM; sleep 600",
    );
    let files = launch.files.clone();
    let running = start(launch).unwrap();
    let stop = CancellationToken::new();
    let pid_file = files.work.join("child");
    while fs::read_to_string(&pid_file)
        .unwrap_or_default()
        .trim()
        .is_empty()
    {
        tokio::task::yield_now().await;
    }
    stop.cancel();
    assert_eq!(running.finish(&stop, LIMITS).await.unwrap(), Exit::Stopped);
    assert_eq!(committed(&files), None);
    assert_gone(fs::read_to_string(pid_file).unwrap().trim()).await;
}

#[tokio::test]
async fn too_long_is_killed() {
    let folder = tempfile::tempdir().unwrap();
    let launch = launch(folder.path(), "sleep 600");
    let files = launch.files.clone();
    let limits = Limits {
        timeout: Duration::from_millis(50),
        ..LIMITS
    };
    let exit = start(launch)
        .unwrap()
        .finish(&CancellationToken::new(), limits)
        .await
        .unwrap();
    assert_eq!(exit, Exit::TimedOut);
    assert_eq!(committed(&files), Some(Exit::TimedOut));
}

#[tokio::test]
async fn a_leftover_is_killed_only_if_it_is_ours() {
    let folder = tempfile::tempdir().unwrap();
    let launch = launch(folder.path(), "sleep 600");
    let files = launch.files.clone();
    let running = start(launch).unwrap();
    let identity = running.identity.clone();
    let mut words: Vec<&str> = identity.split(' ').collect();
    let later = (words[2].parse::<u64>().unwrap() + 1).to_string();
    words[2] = &later;
    assert!(
        !kill_leftover(&words.join(" "), &files),
        "another start time"
    );
    assert!(!kill_leftover("", &files));
    assert!(kill_leftover(&identity, &files));
    let exit = running
        .finish(&CancellationToken::new(), LIMITS)
        .await
        .unwrap();
    assert_eq!(exit, Exit::Signal(9));
}

/// Waits until the process is gone, or a zombie that its new parent has yet to reap.
async fn assert_gone(pid: &str) {
    for _ in 0..1000 {
        let stat = fs::read_to_string(format!("/proc/{pid}/stat")).unwrap_or_default();
        let state = stat.rsplit_once(") ").map(|(_, rest)| rest.chars().next());
        if matches!(state, None | Some(Some('Z' | 'X'))) {
            return;
        }
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    panic!("{pid} is still there");
}
