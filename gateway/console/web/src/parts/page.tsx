// The frame of a screen: one h1, which takes the focus when the screen is gone to.
import { useEffect, useRef, type ReactNode } from "react";

let isFirstPage = true;

export function Page(props: { title: string; actions?: ReactNode; children: ReactNode }) {
  const heading = useRef<HTMLHeadingElement>(null);
  useEffect(() => {
    // On the first load the browser's own place of focus is right: the top.
    if (!isFirstPage) heading.current?.focus({ preventScroll: true });
    isFirstPage = false;
  }, []);
  useEffect(() => {
    document.title = `${props.title} · DataOS`;
  }, [props.title]);
  return (
    <>
      <div className="page-head">
        <h1 ref={heading} tabIndex={-1}>
          {props.title}
        </h1>
        <div className="actions">{props.actions}</div>
      </div>
      {props.children}
    </>
  );
}

export function Panel(props: { title: string; note?: ReactNode; className?: string; children: ReactNode }) {
  const id = `panel-${props.title.toLowerCase().replace(/[^a-z0-9]+/g, "-")}`;
  return (
    <section className={`panel ${props.className ?? ""}`} aria-labelledby={id}>
      <header>
        <h2 id={id}>{props.title}</h2>
        {props.note !== undefined && <span className="note">{props.note}</span>}
      </header>
      {props.children}
    </section>
  );
}
