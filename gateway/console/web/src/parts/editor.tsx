// The SQL editor: CodeMirror 6. It lives in a shadow root, because only there does CodeMirror use
// constructed style sheets, which a Content-Security-Policy without inline styles permits.
// Escape, then Tab, leaves the editor by keyboard.
import {
  autocompletion,
  closeBrackets,
  closeBracketsKeymap,
  closeCompletion,
  completionKeymap,
} from "@codemirror/autocomplete";
import { defaultKeymap, history, historyKeymap, indentWithTab } from "@codemirror/commands";
import { PostgreSQL, sql } from "@codemirror/lang-sql";
import { bracketMatching, HighlightStyle, indentOnInput, syntaxHighlighting } from "@codemirror/language";
import { Compartment, EditorState, StateEffect, StateField } from "@codemirror/state";
import {
  Decoration,
  drawSelection,
  EditorView,
  highlightActiveLine,
  keymap,
  lineNumbers,
  type DecorationSet,
} from "@codemirror/view";
import { tags } from "@lezer/highlight";
import { useEffect, useRef } from "react";

export interface Mark {
  /** One-based line and column, in characters. */
  line: number;
  column: number;
  message: string;
}

interface Props {
  label: string;
  text: string;
  /** Names to complete: tables, each with its columns as far as they are known. */
  tables: Record<string, string[]>;
  mark: Mark | null;
  onChange: (text: string) => void;
  onRun: () => void;
}

const STYLE = HighlightStyle.define([
  { tag: tags.keyword, color: "var(--code-keyword)", fontWeight: "600" },
  { tag: [tags.string, tags.special(tags.string)], color: "var(--code-text)" },
  { tag: [tags.number, tags.bool, tags.null], color: "var(--code-number)" },
  { tag: tags.comment, color: "var(--text-quiet)" },
]);

const THEME = EditorView.theme({
  "&": { fontSize: "13px", height: "100%", backgroundColor: "var(--field)", color: "var(--text)" },
  "&.cm-focused": { outline: "2px solid var(--focus)", outlineOffset: "-2px" },
  ".cm-scroller": { fontFamily: "var(--mono)", lineHeight: "1.55" },
  ".cm-content": { caretColor: "var(--text)" },
  ".cm-cursor": { borderLeftColor: "var(--text)" },
  ".cm-gutters": { backgroundColor: "var(--panel)", color: "var(--text-quiet)", borderRight: "1px solid var(--line)" },
  ".cm-activeLine, .cm-activeLineGutter": { backgroundColor: "var(--hover)" },
  "&.cm-focused > .cm-scroller > .cm-selectionLayer .cm-selectionBackground, .cm-selectionBackground": {
    backgroundColor: "var(--selection)",
  },
  ".cm-tooltip": { backgroundColor: "var(--panel)", color: "var(--text)", border: "1px solid var(--line)" },
  ".cm-tooltip-autocomplete > ul > li[aria-selected]": { backgroundColor: "var(--accent)", color: "var(--on-accent)" },
  ".marked": { textDecoration: "underline wavy var(--bad)", backgroundColor: "var(--bad-soft)" },
});

const setMark = StateEffect.define<Mark | null>();

/** Where the last error was; gone with the next change. */
const MARKED = StateField.define<DecorationSet>({
  create: () => Decoration.none,
  update: (old, transaction) => {
    const effect = transaction.effects.find((one) => one.is(setMark));
    if (effect === undefined) return transaction.docChanged ? Decoration.none : old;
    const mark = effect.value as Mark | null;
    if (mark === null) return Decoration.none;
    const { from, to } = extent(transaction.state, mark);
    const shown = Decoration.mark({ class: "marked", attributes: { title: mark.message } });
    return from < to ? Decoration.set([shown.range(from, to)]) : Decoration.none;
  },
  provide: (field) => EditorView.decorations.from(field),
});

export default function Editor(props: Props) {
  const host = useRef<HTMLDivElement>(null);
  const view = useRef<EditorView | null>(null);
  const language = useRef(new Compartment());
  const latest = useRef(props);
  latest.current = props;

  useEffect(() => {
    if (host.current === null) return;
    const root = host.current.shadowRoot ?? host.current.attachShadow({ mode: "open", delegatesFocus: true });
    const editor = new EditorView({ root, parent: root, state: state(language.current, latest) });
    view.current = editor;
    return () => editor.destroy();
  }, []);

  useEffect(() => {
    view.current?.dispatch({ effects: language.current.reconfigure(dialect(props.tables)) });
  }, [props.tables]);

  useEffect(() => {
    const editor = view.current;
    if (editor === null || editor.state.doc.toString() === props.text) return;
    editor.dispatch({ changes: { from: 0, to: editor.state.doc.length, insert: props.text } });
  }, [props.text]);

  useEffect(() => {
    const editor = view.current;
    if (editor === null) return;
    editor.dispatch({ effects: setMark.of(props.mark) });
    if (props.mark === null) return;
    editor.dispatch({ selection: { anchor: extent(editor.state, props.mark).from }, scrollIntoView: true });
  }, [props.mark]);

  return <div className="editor" ref={host} />;
}

function state(language: Compartment, latest: { current: Props }): EditorState {
  const run = (view: EditorView) => {
    closeCompletion(view);
    latest.current.onRun();
    return true;
  };
  return EditorState.create({
    doc: latest.current.text,
    extensions: [
      keymap.of([{ key: "Mod-Enter", run }]),
      lineNumbers(),
      history(),
      drawSelection(),
      indentOnInput(),
      bracketMatching(),
      closeBrackets(),
      autocompletion(),
      highlightActiveLine(),
      syntaxHighlighting(STYLE),
      THEME,
      MARKED,
      language.of(dialect(latest.current.tables)),
      keymap.of([...closeBracketsKeymap, ...defaultKeymap, ...historyKeymap, ...completionKeymap, indentWithTab]),
      EditorView.contentAttributes.of({
        "aria-label": latest.current.label,
        "aria-multiline": "true",
        tabindex: "0",
      }),
      EditorView.domEventHandlers({
        beforeinput: replaceSelected,
        // Also the completion that is on its way: it would open over an editor that is left.
        blur: (_event, view) => {
          closeCompletion(view);
        },
      }),
      EditorView.updateListener.of((update) => {
        if (update.docChanged) latest.current.onChange(update.state.doc.toString());
      }),
    ],
  });
}

function dialect(tables: Record<string, string[]>) {
  return sql({ dialect: PostgreSQL, schema: tables, upperCaseKeywords: true });
}

/**
 * Typing over a selection without the browser's own editing: Chromium would keep the colour of what
 * is replaced by an inline style, which the Content-Security-Policy refuses, and reports.
 */
function replaceSelected(event: InputEvent, view: EditorView): boolean {
  const { from, to, empty } = view.state.selection.main;
  const text = event.data;
  if (empty || event.inputType !== "insertText" || text === null || view.composing) return false;
  const insert = () => view.state.update(view.state.replaceSelection(text), { userEvent: "input.type", scrollIntoView: true });
  const handlers = view.state.facet(EditorView.inputHandler);
  if (!handlers.some((handle) => handle(view, from, to, text, insert))) view.dispatch(insert());
  event.preventDefault();
  return true;
}

/** From the place to the end of the word there, or over one character. */
function extent(state: EditorState, mark: Mark): { from: number; to: number } {
  const line = state.doc.line(Math.min(Math.max(mark.line, 1), state.doc.lines));
  const characters = Array.from(line.text).slice(0, Math.max(mark.column - 1, 0)).join("");
  const from = Math.min(line.from + characters.length, line.to);
  const word = /^[\p{L}\p{N}_$]+|^./u.exec(line.text.slice(from - line.from))?.[0] ?? "";
  return { from, to: from + word.length };
}
