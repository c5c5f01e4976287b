//! The process dies in the middle of a step: the runtime is torn down under the orchestrator, so
//! nothing is stopped, stored or closed, and the step's process lives on.

use std::{
    fs,
    path::{Path, PathBuf},
    sync::Arc,
    time::Duration,
};

use dataos_model::resource::ResourceView;
use dataos_model::seams::Resources;
use tokio::runtime::Runtime;

use crate::fakes::{World, open, principal};

const ID: &str = "workflow:v1:w:public";

struct Crashed {
    world: Arc<World>,
    folder: tempfile::TempDir,
}

impl Crashed {
    /// Applies a workflow of one step that notes each start, and dies once it runs.
    fn after_start(retry: &str) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let world = Arc::new(World::default());
        world.users.lock().unwrap().insert("alice".to_owned());
        let notes = folder.path().join("notes");
        let text = format!(
            "name: w\ntype: workflow\nworkflow:\n  dag:\n  - name: a\n    retry: {retry}\n    \
             spec: {{stack: container, stackSpec: {{command: [/bin/sh, -c, 'echo $$ >> {}; \
             test $DATAOS_ATTEMPT = 2 || sleep 600']}}}}\n",
            notes.display()
        );
        let runtime = Runtime::new().unwrap();
        let orchestrator = runtime.block_on(async {
            let orchestrator = open(&world, folder.path()).await.unwrap();
            let alice = principal("alice");
            orchestrator
                .apply(&alice, "r", "public", &text, None)
                .await
                .unwrap();
            wait(|| fs::read_to_string(&notes).is_ok_and(|text| text.ends_with('\n'))).await;
            // The identity of the process is stored right after it was started.
            tokio::time::sleep(Duration::from_millis(200)).await;
            orchestrator
        });
        runtime.shutdown_background();
        // The system closes what a dead process had open, and so gives its locks back.
        drop(orchestrator);
        Self { world, folder }
    }

    fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    /// Opens again and waits for the end of the run.
    fn recover(&self) -> ResourceView {
        let runtime = Runtime::new().unwrap();
        runtime.block_on(async {
            let orchestrator = open(&self.world, self.folder.path()).await.unwrap();
            let id = ID.parse().unwrap();
            for _ in 0..4000 {
                let view = orchestrator.get(&id).await.unwrap();
                if view.runtime != "running:1" {
                    orchestrator.close().await;
                    return view;
                }
                tokio::time::sleep(Duration::from_millis(5)).await;
            }
            panic!("never: {:#?}", orchestrator.get(&id).await);
        })
    }
}

async fn wait(is_so: impl Fn() -> bool) {
    for _ in 0..4000 {
        if is_so() {
            return;
        }
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    panic!("never");
}

fn is_alive(pid: &str) -> bool {
    let stat = fs::read_to_string(Path::new("/proc").join(pid).join("stat")).unwrap_or_default();
    stat.rsplit_once(") ")
        .is_some_and(|(_, rest)| !rest.starts_with(['Z', 'X']))
}

#[test]
pub(crate) fn what_was_left_running_is_killed_and_tried_again() {
    let crashed = Crashed::after_start("{count: 1, strategy: OnError}");
    let first = fs::read_to_string(crashed.path("notes")).unwrap();
    assert!(is_alive(first.trim()), "the process outlives the crash");
    let view = crashed.recover();
    assert!(!is_alive(first.trim()));
    assert_eq!(
        (view.runtime.as_str(), view.nodes[0].attempt),
        ("succeeded", 2),
        "{view:?}"
    );
    assert_eq!(
        fs::read_to_string(crashed.path("notes"))
            .unwrap()
            .lines()
            .count(),
        2
    );
}

#[test]
pub(crate) fn a_committed_step_is_never_run_again() {
    let crashed = Crashed::after_start("{count: 5}");
    // The step ended and was committed; the crash came before the store heard of it.
    let exit = crashed.path("runs/1/.state/a.1.exit");
    assert!(!exit.exists());
    fs::write(exit, "code 0\n").unwrap();
    let view = crashed.recover();
    assert_eq!(
        (view.runtime.as_str(), view.nodes[0].attempt),
        ("succeeded", 1),
        "{view:?}"
    );
    assert_eq!(view.nodes[0].message, "exit code 0");
    assert_eq!(
        fs::read_to_string(crashed.path("notes"))
            .unwrap()
            .lines()
            .count(),
        1
    );
}
