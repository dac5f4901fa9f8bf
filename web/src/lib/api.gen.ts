// Written by `cargo xtask dist` from docs/openapi.json, whose SHA-256 was
// 634899940e52ad1d586ce01c25d3879db11a998bf4e0b63f1dde126c3c95b05f

export type paths = Record<string, never>;
export type webhooks = Record<string, never>;
export interface components {
    schemas: {
        /** @description That the agent has its answer. */
        Answered: {
            answered: boolean;
        };
        /** @description What is taken of a proposal: `all`, or `files`. */
        Approval: {
            /** @description True: all of it. */
            all?: boolean | null;
            /** @description Of what was shown: the approval is of these bytes and no others. */
            digest: string;
            /** @description These files alone. */
            files?: components["schemas"]["FileApproval"][] | null;
        };
        /** @description What an approval became. */
        Approved: {
            /** @description The commit with what was chosen. */
            commit: components["schemas"]["CommitId"];
            state: components["schemas"]["ProposalState"];
        };
        /** @description A workspace that is to follow an outside repository. */
        Attach: {
            /** @description What you call the workspace; as the repository where absent. */
            name?: string | null;
            /** @description One line that every agent which works there is told. */
            purpose?: string | null;
            /** @description The branch; `main` where absent. */
            ref?: string | null;
            /** @description Its address, without a credential: `https://…`, `ssh://…` or `git@host:path`. */
            repo: string;
            /** @description A token, or by ssh a private key. For this one request, and kept nowhere. */
            token?: string | null;
        };
        /** @description Which workspaces are part of conversations that name none. */
        Attached: {
            active: components["schemas"]["Workspace"][];
            parked: components["schemas"]["Workspace"][];
        };
        /** @description A page that links somewhere. */
        Backlink: {
            /** @description Where it stands. */
            path: string;
            /** @description What it is called. */
            title: string;
        };
        /** @description What came of a call that the gate was asked for. */
        Brokered: "answered" | "failed" | "refused" | "unanswered";
        /** @description The most that may be used. What is absent has no bound. */
        Budget: {
            /**
             * Format: uint64
             * @description Money, in millionths of whatever prices are in.
             */
            micros?: number | null;
            /**
             * Format: uint64
             * @description Calls of models.
             */
            requests?: number | null;
            /**
             * Format: uint64
             * @description Tokens of requests and answers together.
             */
            tokens?: number | null;
        };
        /** @description A call of a tool. */
        Call: {
            args: unknown;
            callId: string;
            /** @description Whether it worked; absent until it is over. */
            ok?: boolean | null;
            tool: string;
        };
        /** @description Something that is said in a conversation. */
        Chat: {
            /** @description What is said. */
            prompt: string;
            /** @description The conversation; a new one where absent. */
            session?: string | null;
            /** @description A name for the turn, by which it is known when it is sent again; one of ours where absent. */
            turn_id?: components["schemas"]["TurnId"] | null;
        };
        /** @description What came of one thing that was tried. */
        CheckResult: "pass" | "fail" | "no";
        /** @description A commit as outsiders see it. */
        Commit: {
            author: components["schemas"]["Signature"];
            committer: components["schemas"]["Signature"];
            /** @description True where it came from an outside repository, so that nothing here vouches for it; else absent. */
            foreign?: boolean;
            message: string;
            parents: string[];
            /** @description The paths that were not committed, and why; absent where all were. */
            refused?: string[];
            sha: string;
            /** @description The first line of its message. */
            subject: string;
            /**
             * Format: date-time
             * @description When it was written.
             */
            time: string;
            /** @description What it says about itself, as `dispatch` and `launcher`. */
            trailers: {
                [key: string]: string;
            };
        };
        /** @description What a commit changed. */
        CommitDiff: {
            commit: components["schemas"]["CommitId"];
            files: components["schemas"]["FileDiff"][];
        };
        /** @description A commit of a workspace: 40 hexadecimal digits in lower case. */
        CommitId: string;
        /** @description A page of commits. */
        Commits: {
            commits: components["schemas"]["Commit"][];
            /** @description Whether there are older ones. */
            more: boolean;
            /** @description The `before` of the next page; null on the last one. */
            next: string | null;
        };
        /** @description What triggered a dispatch. */
        Context: {
            /** @description What kind of thing it was. */
            kind: components["schemas"]["ContextKind"];
            /** @description The meeting it is about. */
            meeting?: components["schemas"]["Meeting"] | null;
            /** @description The thing itself, as a reference that reaches the agent. */
            ref?: components["schemas"]["Reference"] | null;
        };
        /** @description What kind of thing triggered a dispatch. */
        ContextKind: "none" | "meeting" | "email" | "generic";
        /** @description How a proposal was decided. */
        Decided: {
            /**
             * Format: date-time
             * @description A time as RFC 3339, in UTC.
             */
            at: string;
            by: components["schemas"]["UserId"];
            /** @description The commit with what was chosen. */
            commit: components["schemas"]["CommitId"];
        } | {
            /**
             * Format: date-time
             * @description A time as RFC 3339, in UTC.
             */
            at: string;
            by: components["schemas"]["UserId"];
            /** @description Why, in their words. */
            reason: string | null;
        };
        /** @description Why a proposal is turned down. */
        Denial: {
            /** @description In your words, at most 1000 characters. */
            reason?: string | null;
        };
        /** @description That a proposal is turned down. */
        Denied: {
            state: components["schemas"]["ProposalState"];
        };
        /** @description A change of one file as the agent tells it. The commit is what counts. */
        Diff: {
            /** @description What stands there now. */
            new: string;
            /** @description What stood there; absent for a new file. */
            old?: string | null;
            /** @description The file. */
            path: string;
        };
        /** @description A dispatch, and where it stands. */
        Dispatch: {
            /** @description What its models may use. */
            budget: components["schemas"]["Budget"];
            /**
             * Format: date-time
             * @description When it came to where it stands.
             */
            changed: string;
            /**
             * Format: date-time
             * @description When it was accepted.
             */
            created: string;
            /** @description Its id. */
            id: components["schemas"]["DispatchId"];
            /** @description Whether what triggered it may be believed. */
            input_trust: components["schemas"]["InputTrust"];
            /** @description What it had read when it began. */
            label: components["schemas"]["Label"];
            /** @description Its last event. */
            last_event: components["schemas"]["EventId"];
            /** @description What started it. */
            launcher: components["schemas"]["Launcher"];
            /** @description The model that was chosen for it; null for the usual one. */
            model: string | null;
            /** @description What that turn asks. */
            prompt: string;
            /** @description Whether what they are asked and answer is kept. */
            record: boolean;
            /** @description Whether it continues one. */
            resumes: boolean;
            /** @description What drives the agent. */
            runner: components["schemas"]["RunnerName"];
            /** @description The conversation. */
            session: components["schemas"]["SessionId"];
            /** @description Where it stands. */
            state: components["schemas"]["DispatchState"];
            /** @description Why it is over; null while it is not. */
            stop_reason: components["schemas"]["StopReason"] | null;
            /** @description On whose behalf. */
            subject: components["schemas"]["UserId"];
            /** @description The tools behind the gate that it may call. */
            tools: string[];
            /** @description Why it was started. */
            trigger: components["schemas"]["Trigger"];
            /** @description Its first turn. */
            turn: components["schemas"]["TurnId"];
            /** @description What its models used. */
            usage: components["schemas"]["Usage"];
            /** @description The workspaces as mounted. */
            workspaces: components["schemas"]["Mount"][];
        };
        /** @description What a dispatch committed. */
        DispatchDiff: {
            workspaces: components["schemas"]["WorkspaceDiff"][];
        };
        /** @description A page of dispatches. */
        Dispatches: {
            dispatches: components["schemas"]["Dispatch"][];
            /** @description The `cursor` of the next page; null on the last one. */
            next: components["schemas"]["DispatchId"] | null;
        };
        /** @description One run of an agent. */
        DispatchId: string;
        /**
         * @description Where a dispatch stands.
         * @enum {string}
         */
        DispatchState: "queued" | "starting" | "running" | "idle" | "ended";
        /** @description That it was done. */
        Done: {
            ok: boolean;
        };
        /** @description A link of a graph. */
        Edge: {
            /** @description The page that links. */
            from: string;
            /** @description The page that it leads to. */
            to: string;
        };
        /** @description Why a dispatch is over. */
        End: "completed" | "stopped" | "reaped" | "failed" | "out_of_memory" | "start_failed" | "max_lifetime";
        /** @description A model endpoint of one's own. */
        Endpoint: {
            /** @description Whether the server calls its host: the operator may have changed their mind. */
            allowed: boolean;
            api: components["schemas"]["EndpointApi"];
            /**
             * Format: date-time
             * @description When it was said so.
             */
            changed: string;
            /** @description What can be chosen for a dispatch, as `@NAME/MODEL`. */
            choices: string[];
            /** @description Whether it has a key, which nobody is shown. */
            has_key: boolean;
            /**
             * Format: uint64
             * @description The most tokens that it takes as the limit of an answer.
             */
            max_tokens: number | null;
            /** @description The model that answers where no other is named. */
            model: string;
            /** @description Others of it that may be asked for. */
            models: string[];
            /** @description What you call it. */
            name: components["schemas"]["EndpointName"];
            /** @description What its models cost. */
            prices: components["schemas"]["ModelPrice"][];
            /** @description The runners whose agents may be given it; empty: all. */
            runners: components["schemas"]["RunnerName"][];
            /** @description Its address. */
            url: string;
        };
        /** @description The dialect of an endpoint. */
        EndpointApi: "openai" | "responses" | "anthropic" | "gemini";
        /**
         * @description What a person calls a model endpoint of their own; unique for them.
         *     1 to 64 characters of `a-z A-Z 0-9 _ - . :`, not starting with `.` or `-`.
         */
        EndpointName: string;
        /** @description One's model endpoints. */
        Endpoints: {
            /** @description By name. */
            endpoints: components["schemas"]["Endpoint"][];
            /** @description The hosts that the server calls for people; none: nobody may bring an endpoint. */
            hosts: string[];
        };
        /** @description What came of asking an endpoint for a word. */
        EndpointTest: {
            /**
             * Format: uint64
             * @description How long it took, in milliseconds.
             */
            elapsed_ms: number;
            /** @description The model that was asked. */
            model: string;
            /** @description Whether it answered. */
            ok: boolean;
            /** @description What is wrong and what to do about it; null where it answered. */
            problem: string | null;
        };
        /** @description One entry of a stream. */
        Entry: {
            /** @description When it was written. */
            at: components["schemas"]["Time"];
            /** @description What happened. */
            event: components["schemas"]["Event"];
            /** @description Where it stands. */
            id: components["schemas"]["EventId"];
        };
        /** @description A prompt: exactly one of the two. */
        Entrypoint: {
            inline: string;
        } | {
            path: string;
        };
        /**
         * @description What an error is. Each has a page `docs/errors/<code>.md`.
         * @enum {string}
         */
        ErrorCode: "missing-api-key" | "invalid-api-key" | "logged-out" | "bad-login-link" | "under-scoped" | "untrusted-write" | "recording-not-allowed" | "role-too-low" | "not-invited" | "foreign-host" | "foreign-origin" | "not-found" | "unknown-session" | "unknown-dispatch" | "unknown-workspace" | "unknown-endpoint" | "invite-over" | "unknown-proposal" | "method-not-allowed" | "conflict" | "proposal-changed" | "already-decided" | "expired" | "reused-key" | "too-large" | "not-conformant" | "malformed-request" | "invalid-request" | "unknown-runner" | "unknown-tool" | "runner-not-installed" | "runner-not-tested" | "timed-out" | "too-many-requests" | "unavailable" | "ssh-not-installed" | "git-not-installed" | "remote-not-allowed" | "endpoint-not-allowed" | "remote-failed" | "storage-full" | "internal";
        /** @description What a dispatch said or did. */
        Event: {
            /** @description What it has read when it begins. */
            label: components["schemas"]["Label"];
            /** @description What started it. */
            launcher: components["schemas"]["Launcher"];
            /** @description The workspaces as mounted. */
            mounts: components["schemas"]["Mount"][];
            /** @description What drives the agent. */
            runner: components["schemas"]["RunnerName"];
            /** @description The conversation. */
            session: components["schemas"]["SessionId"];
            /** @description On whose behalf. */
            subject: components["schemas"]["UserId"];
            /** @constant */
            type: "accepted";
        } | {
            /**
             * Format: uint32
             * @description 0 for the next one.
             */
            ahead: number;
            /** @constant */
            type: "queued";
        } | {
            /** @description What built it. */
            backend: string;
            /** @description Whether the backend isolates; `process` does not. */
            isolates: boolean;
            /** @description The box. */
            sandbox: components["schemas"]["SandboxId"];
            /**
             * Format: uint64
             * @description From asking for the box to its first instruction, in microseconds.
             */
            start_us: number;
            /** @constant */
            type: "sandbox_started";
        } | {
            /** @description The box. */
            sandbox: components["schemas"]["SandboxId"];
            /** @constant */
            type: "sandbox_adopted";
        } | {
            /**
             * Format: uint32
             * @description 1 for the first turn of this dispatch.
             */
            number: number;
            /** @description What was said to the agent. */
            prompt: string;
            /** @description The turn. */
            turn: components["schemas"]["TurnId"];
            /** @constant */
            type: "turn_accepted";
        } | {
            /** @description The turn. */
            turn: components["schemas"]["TurnId"];
            /** @constant */
            type: "turn_started";
        } | {
            /** @description The item that grows. */
            item: string;
            /** @description What is added. */
            text: string;
            /** @constant */
            type: "message";
        } | {
            /** @description The item that grows. */
            item: string;
            /** @description What is added. */
            text: string;
            /** @constant */
            type: "thought";
        } | {
            /** @description The arguments, as the agent gave them; null while they are not known. */
            arguments: unknown;
            /** @description The agent's id of the call. */
            call: string;
            /** @description What kind of tool it is. */
            kind: components["schemas"]["ToolKind"];
            /** @description The files it concerns. */
            locations?: string[];
            /** @description For people, one line. */
            title: string;
            /** @description The tool, in one word. */
            tool: string;
            /** @constant */
            type: "tool_call";
        } | {
            /** @description The arguments, once they are whole. */
            arguments?: unknown;
            /** @description The agent's id of the call. */
            call: string;
            /** @description What it changed, as the agent says. */
            diffs?: components["schemas"]["Diff"][];
            /** @description What it returned, as text, possibly cut. */
            result?: string | null;
            /** @description Where it stands. */
            status?: components["schemas"]["ToolStatus"] | null;
            /** @description A better title. */
            title?: string | null;
            /**
             * @description The tool, in one word: in the one update that brings the arguments, or the end, of a call
             *     that was told without arguments.
             */
            tool?: string | null;
            /** @constant */
            type: "tool_update";
        } | {
            /** @description Its steps. */
            steps: components["schemas"]["PlanStep"][];
            /** @constant */
            type: "plan";
        } | {
            /** @description The question's id. */
            ask: string;
            /** @description The call it is about. */
            call: string;
            /** @description What may be answered. */
            options: components["schemas"]["PermissionOption"][];
            /** @description For people, one line. */
            title: string;
            /** @constant */
            type: "permission_asked";
        } | {
            /** @description The question's id. */
            ask: string;
            /** @description Who or what answered. */
            by: string;
            /** @description The option that was chosen; absent when it was refused without one. */
            option: string | null;
            /** @constant */
            type: "permission_answered";
        } | {
            /**
             * Format: uint64
             * @description From the request to the last byte, in milliseconds.
             */
            elapsed_ms: number;
            /**
             * Format: uint64
             * @description Tokens of the request.
             */
            input_tokens: number;
            /** @description The model. */
            model: string;
            /**
             * Format: uint64
             * @description Tokens of the answer.
             */
            output_tokens: number;
            /** @constant */
            type: "usage";
        } | {
            /** @description The arguments, as they were sent, possibly cut. */
            arguments: unknown;
            /**
             * Format: uint64
             * @description From the agent's request to the answer, in milliseconds.
             */
            elapsed_ms: number;
            /** @description What came of it. */
            outcome: components["schemas"]["Brokered"];
            /** @description The server. */
            server: components["schemas"]["ServerName"];
            /** @description The tool, as the agent named it. */
            tool: string;
            /** @constant */
            type: "brokered";
        } | {
            /**
             * Format: uint64
             * @description How many paths it changed.
             */
            changed: number;
            /** @description The new commit. */
            commit: components["schemas"]["CommitId"];
            /** @description The first of them, at most 100. */
            paths: string[];
            /** @constant */
            type: "commit";
            /** @description The workspace. */
            workspace: components["schemas"]["WorkspaceId"];
        } | {
            /**
             * Format: uint64
             * @description How many.
             */
            count: number;
            /** @description The first of them, at most 100. */
            refusals: components["schemas"]["Refusal"][];
            /** @constant */
            type: "refused";
            /** @description The workspace. */
            workspace: components["schemas"]["WorkspaceId"];
        } | {
            /** @description The commit that keeps it. */
            commit: components["schemas"]["CommitId"];
            /** @description The paths in conflict, at most 100. */
            paths: string[];
            /** @description Why it was not applied. */
            reason: components["schemas"]["HeldReason"];
            /** @description The ref that keeps it. */
            reference: string;
            /** @constant */
            type: "held";
            /** @description The workspace. */
            workspace: components["schemas"]["WorkspaceId"];
        } | {
            /** @description The first paths that it would change, at most 100. */
            paths: string[];
            /** @description The proposal. */
            proposal: components["schemas"]["ProposalId"];
            /** @description Why it was not applied by itself. */
            reason: components["schemas"]["HeldReason"];
            /** @constant */
            type: "proposed";
            /** @description The workspace. */
            workspace: components["schemas"]["WorkspaceId"];
        } | {
            /** @description The commit on its ref. */
            commit: components["schemas"]["CommitId"];
            /** @description The conversation. */
            session: components["schemas"]["SessionId"];
            /** @constant */
            type: "session_saved";
        } | {
            /** @description Where it comes from: `agent`, `protocol`, `gate`, `committer`. */
            source: string;
            /** @description What it says, at most 4 KiB. */
            text: string;
            /** @constant */
            type: "diagnostic";
        } | {
            /** @description How it ended. */
            outcome: components["schemas"]["TurnOutcome"];
            /** @description The last message of the agent, whole, at most 64 KiB. */
            reply: string;
            /** @description The turn. */
            turn: components["schemas"]["TurnId"];
            /** @constant */
            type: "turn_ended";
        } | {
            /** @description Why. */
            end: components["schemas"]["End"];
            /** @description For people: what went wrong and what to do next; absent when nothing did. */
            failure?: components["schemas"]["Failure"] | null;
            /** @constant */
            type: "ended";
        };
        /**
         * @description Where an entry stands in the stream of its dispatch: `<epoch>-<n>`.
         *
         *     The epoch is that of the writer; `n` grows by one over the whole life of the stream. A stream
         *     refuses an id that is not above its last, so a writer of an older epoch can add nothing.
         */
        EventId: string;
        /** @description One call of a model, as the agent asked and as it was answered. */
        Exchange: {
            /** @description The body of the answer: one JSON value, or server-sent events. */
            answer: string;
            /** @description When it was over, in milliseconds since 1970. */
            at: components["schemas"]["Time"];
            /** @description Whether something of either is missing because it was too long. */
            cut: boolean;
            /** @description The dialect of request and answer. */
            dialect: components["schemas"]["ModelApi"];
            /** @description The endpoint, by the name it is configured with. */
            endpoint: string;
            /** @description The model. */
            model: string;
            /** @description The body of the request. */
            request: string;
            /** @description The turn that the agent worked on; absent where it had none yet. */
            turn?: components["schemas"]["TurnId"] | null;
            /** @description Whether the answer came to its end. */
            whole: boolean;
        };
        /** @description What went wrong. */
        Failure: {
            /** @description What it was. */
            code: components["schemas"]["FailureCode"];
            /** @description What happened, why, and what to do next. */
            message: string;
        };
        /** @description What a failure was, so that a client can act on it. */
        FailureCode: "agent_died" | "agent_protocol" | "agent_start" | "agent_gave_up" | "output_flood" | "turn_timeout" | "sandbox_start" | "sandbox_died" | "model" | "budget_exhausted" | "session" | "workspace" | "server_restart" | "internal";
        /** @description A file of a workspace. */
        File: {
            /** @description Whether it is not text. */
            binary: boolean;
            /** @description What it holds; null where that is not text, or too long to be shown. */
            content: string | null;
            kind: components["schemas"]["FileKind"];
            path: string;
            /** @description The revision that this is. */
            revision: components["schemas"]["CommitId"];
            /**
             * Format: uint
             * @description In bytes.
             */
            size: number;
        };
        /** @description What is taken of one file: `all`, `hunks` or `content`. */
        FileApproval: {
            /** @description True: all that is proposed for it. */
            all?: boolean | null;
            /** @description This text instead of what is proposed. */
            content?: string | null;
            /** @description These of its hunks alone, by their numbers. */
            hunks?: number[] | null;
            /** @description The file. */
            path: string;
        };
        /** @description One changed file. */
        FileDiff: {
            /** @description Whether one side is not text: then there are no hunks. */
            binary: boolean;
            /** @description Whether both sides changed it, so that taking it undoes what is there now. */
            conflict: boolean;
            /**
             * @description Why a reader should look twice: `instruction_file`, `agent_settings`, `runs_by_itself`,
             *     `git_rules`, `executable`, `link`.
             */
            flags: string[];
            /** @description Where it stood before, if it moved. */
            from?: string | null;
            /** @description The changed stretches, in order; none if only the mode or the place changed. */
            hunks: components["schemas"]["HunkDiff"][];
            /** @description Its mode now; absent for one that is gone. */
            new_mode?: string | null;
            /** @description Its mode before, as git writes it; absent for a new file. */
            old_mode?: string | null;
            /** @description Where it stands, or stood. */
            path: string;
            /** @description What became of it. */
            status: components["schemas"]["FileStatus"];
            /** @description Whether it is too large to be shown: then there are no hunks. */
            too_large: boolean;
        };
        /**
         * @description What a file is.
         * @enum {string}
         */
        FileKind: "file" | "executable" | "link" | "submodule";
        /** @description What became of a file. */
        FileStatus: "added" | "modified" | "deleted" | "renamed" | "mode";
        /** @description One thing that is wrong. */
        Finding: {
            /**
             * Format: uint32
             * @description In which line, counted from 1.
             */
            line: number;
            /** @description What, for people. */
            message: string;
            /** @description In which page. */
            path: string;
            /** @description By which rule. */
            rule: string;
            /** @description How much it matters. */
            severity: components["schemas"]["Severity"];
        };
        /** @description What a chat shows. */
        Frame: {
            /** @constant */
            type: "turn-accepted";
        } | {
            text: string;
            /** @constant */
            type: "message-delta";
        } | {
            args: unknown;
            callId: string;
            tool: string;
            /** @constant */
            type: "tool-call";
        } | {
            callId: string;
            ok: boolean;
            summary: string;
            /** @constant */
            type: "tool-result";
        } | {
            sha: components["schemas"]["CommitId"];
            /** @constant */
            type: "commit";
        } | {
            /** @constant */
            type: "rejected";
            violations: components["schemas"]["Violation"][];
        } | {
            message: string;
            /** @constant */
            type: "error";
        } | {
            ok: boolean;
            reply: string;
            sessionId: components["schemas"]["SessionId"];
            /** @constant */
            type: "done";
        } | {
            /** @constant */
            type: "turn-complete";
        };
        /** @description A workspace at a glance. */
        Glance: {
            /** @description `main`. */
            branch: string;
            /** @description Always empty. */
            changes: string[];
            /** @description The newest. */
            commits: components["schemas"]["Commit"][];
        };
        /** @description Pages and the links between them. */
        Graph: {
            /** @description The links, each once. */
            edges: components["schemas"]["Edge"][];
            /** @description The pages, in the order of paths. */
            nodes: components["schemas"]["Node"][];
            /** @description Whether there are more pages or links than these. */
            partial: boolean;
        };
        /** @description That the server lives. */
        Health: {
            /** @description `ok`. */
            status: string;
            /** @description The version of the program. */
            version: string;
        };
        /** @description Why a change-set was not applied. */
        HeldReason: "conflict" | "propose_only";
        /** @description What was said in a conversation. */
        History: {
            turns: components["schemas"]["Said"][];
        };
        /** @description What was found. */
        Hits: {
            hits: components["schemas"]["SearchHit"][];
            /** @description Whether some files were too large, or too many, to be searched as a whole. */
            partial: boolean;
        };
        /** @description A stretch of changed lines with those around it. */
        HunkDiff: {
            /**
             * Format: uint
             * @description Its number in the file, from 0.
             */
            index: number;
            /** @description The lines. */
            lines: components["schemas"]["LineDiff"][];
            /**
             * Format: uint
             * @description Lines after.
             */
            new_lines: number;
            /**
             * Format: uint
             * @description First line after, from 1; the line it follows if it has none.
             */
            new_start: number;
            /**
             * Format: uint
             * @description Lines before.
             */
            old_lines: number;
            /**
             * Format: uint
             * @description First line before, from 1; the line it follows if it has none.
             */
            old_start: number;
        };
        /** @description Who the asker says it is. */
        Identity: {
            /** @description What starts it. */
            launcher: string;
            /** @description On whose behalf. */
            subject: string;
            /** @description A proof. */
            token?: string | null;
        };
        /** @description With what a workspace is to begin. */
        Init: {
            /** @description `knowledge` or `plain`. */
            template?: string | null;
        };
        /** @description That a workspace has what a template begins with. */
        Initialized: {
            already_initialized: boolean;
            /** @description Whether something was written. */
            seeded: boolean;
            workspace: components["schemas"]["WorkspaceId"];
        };
        /** @description Whether what triggered a dispatch may be believed. */
        InputTrust: "trusted" | "untrusted";
        /** @description An invitation. */
        Invite: {
            /**
             * Format: date-time
             * @description A time as RFC 3339, in UTC.
             */
            created: string;
            /** @description The mail addresses for which it is, if it is restricted. */
            emails: string[];
            /**
             * Format: date-time
             * @description From when on it cannot be followed.
             */
            expires: string;
            id: components["schemas"]["InviteId"];
            made_by: components["schemas"]["UserId"];
            /** @description For whom it is. */
            mode: components["schemas"]["InviteMode"];
            /** @description What those who follow it become. */
            role: components["schemas"]["Role"];
            /**
             * Format: uint32
             * @description How many may still follow it.
             */
            uses_left: number;
        };
        /** @description An invitation to a workspace. */
        InviteId: string;
        /** @description For whom an invitation is. */
        InviteMode: "open" | "restricted";
        /** @description What one would join. */
        InvitePreview: {
            /**
             * Format: date-time
             * @description A time as RFC 3339, in UTC.
             */
            expires: string;
            /** @description The name of who made the invitation. */
            invited_by: string | null;
            name: components["schemas"]["WorkspaceName"];
            /** @description Whether it can still be followed. */
            open: boolean;
            purpose: string;
            /** @description What one would become. */
            role: components["schemas"]["Role"];
            /** @description What one is there already; null: nothing. */
            your_role: components["schemas"]["Role"] | null;
        };
        /** @description Invitations. */
        Invites: {
            invites: components["schemas"]["Invite"][];
        };
        /** @description The token of an invitation. */
        InviteToken: {
            /** @description As it was shown when the invitation was made. */
            token: string;
        };
        /** @description A dispatch as asked for. */
        Invocation: {
            /**
             * @description What triggered it.
             * @default {
             *       "kind": "none"
             *     }
             */
            context?: components["schemas"]["Context"];
            /** @description Who it says it is; ignored in a public body, where identity comes from the caller's proof. */
            identity?: components["schemas"]["Identity"] | null;
            /**
             * @description The runner that drives the agent.
             * @default claude-code
             */
            runner?: components["schemas"]["RunnerName"];
            /** @description Where it begins. */
            start: components["schemas"]["StartRef"];
            /** @description The tools it may call. */
            tools?: string[];
            /** @description Why it is started. */
            trigger: components["schemas"]["Trigger"];
            /** @description The workspaces; at least one. */
            workspaces: components["schemas"]["WorkspaceRef"][];
        };
        /** @description Whether the browser is logged in. */
        IsIn: {
            logged_in: boolean;
        };
        /** @description A key, without what it is. */
        Key: {
            /**
             * Format: date-time
             * @description When it was made.
             */
            created: string;
            /**
             * Format: date-time
             * @description When it stops to be valid; null: never.
             */
            expires: string | null;
            /** @description Its id. */
            id: components["schemas"]["KeyId"];
            /** @description What it is for, in their words. */
            label: string;
            /** @description What it may do. */
            scopes: components["schemas"]["Scope"][];
            /** @description Whose it is. */
            user_id: components["schemas"]["UserId"];
        };
        /** @description A key of the public API. */
        KeyId: string;
        /** @description Keys. */
        Keys: {
            tokens: components["schemas"]["Key"][];
        };
        /** @description What is wrong with the pages of a workspace. */
        KnowledgeReport: {
            /** @description In the order of paths and lines. */
            findings: components["schemas"]["Finding"][];
            /** @description Whether there are more. */
            partial: boolean;
            /** @description Figures of all pages. */
            totals: components["schemas"]["KnowledgeTotals"];
        };
        /** @description Figures of a workspace. */
        KnowledgeTotals: {
            /**
             * Format: uint
             * @description Pages that a person verified.
             */
            human_reviewed: number;
            /**
             * Format: uint
             * @description Pages that only programs verified.
             */
            machine_confirmed: number;
            /**
             * Format: uint
             * @description Pages.
             */
            pages: number;
            /**
             * Format: uint
             * @description Pages whose day has come.
             */
            stale: number;
        };
        /** @description What a sandbox has mixed into itself. It only ever rises. */
        Label: {
            /** @description The untrusted sources it has read, by name; none means that all input was trusted. */
            integrity: string[];
            /** @description Whose secrets it may hold. */
            secrecy: string[];
        };
        /** @description What started a dispatch. */
        Launcher: {
            id: components["schemas"]["UserId"];
            /** @constant */
            kind: "user";
        } | {
            id: string;
            /** @constant */
            kind: "schedule";
        } | {
            id: string;
            /** @constant */
            kind: "integration";
        };
        /** @description One line of a stretch. */
        LineDiff: {
            /** @description Where it stands. */
            kind: components["schemas"]["LineKind"];
            /** @description Whether it is the last one and no line feed ends it. */
            no_newline?: boolean;
            /** @description Its text, without the line feed. */
            text: string;
        };
        /** @description Where a line stands. */
        LineKind: " " | "-" | "+";
        /** @description A link of a page. */
        Link: {
            /** @description The file that it leads to, if there is one. */
            path: string | null;
            /** @description As it is written. */
            target: string;
        };
        /** @description The links of a page. */
        Links: {
            /** @description What links to it, in the order of paths. */
            backlinks: components["schemas"]["Backlink"][];
            /** @description Where it links to, in the order of the page. */
            links: components["schemas"]["Link"][];
        };
        /** @description The token of a link. */
        LinkToken: {
            token: string;
        };
        /** @description Who is logged in now, and until when. */
        LoggedIn: {
            /**
             * Format: date-time
             * @description A time as RFC 3339, in UTC.
             */
            expires: string;
            user_id: components["schemas"]["UserId"];
        };
        /** @description A link that logs a browser in: `<url>/login#<token>`. */
        LoginLink: {
            /**
             * Format: date-time
             * @description From when on it cannot be used.
             */
            expires: string;
            token: string;
        };
        /** @description Who one is, and what one's key may do. */
        Me: {
            email: string;
            /**
             * Format: uint32
             * @description How many dispatches of one may be alive at once.
             */
            max_concurrent: number;
            /** @description What the key, or the login, lets one do. */
            scopes: components["schemas"]["Scope"][];
            user_id: components["schemas"]["UserId"];
        };
        /** @description A meeting. */
        Meeting: {
            /** @description Its id. */
            meeting_id: string;
            /** @description Where it is held. */
            platform?: string | null;
            /** @description The recording of it. */
            session_uid: string;
        };
        /** @description A member of a workspace. */
        Member: {
            email: string;
            name: string;
            role: components["schemas"]["Role"];
            /**
             * Format: date-time
             * @description When they became one.
             */
            since: string;
            user_id: components["schemas"]["UserId"];
        };
        /** @description What a member is now. */
        MemberRole: {
            role: components["schemas"]["Role"];
            user_id: components["schemas"]["UserId"];
        };
        /** @description The members of a workspace. */
        Members: {
            members: components["schemas"]["Member"][];
        };
        /** @description An invitation that was made, with its token: shown this once. */
        MintedInvite: {
            /**
             * Format: date-time
             * @description A time as RFC 3339, in UTC.
             */
            created: string;
            /** @description The mail addresses for which it is, if it is restricted. */
            emails: string[];
            /**
             * Format: date-time
             * @description From when on it cannot be followed.
             */
            expires: string;
            id: components["schemas"]["InviteId"];
            made_by: components["schemas"]["UserId"];
            /** @description For whom it is. */
            mode: components["schemas"]["InviteMode"];
            /** @description What those who follow it become. */
            role: components["schemas"]["Role"];
            token: string;
            /**
             * Format: uint32
             * @description How many may still follow it.
             */
            uses_left: number;
        };
        /** @description A key that was made, with what it is: shown this once. */
        MintedKey: {
            /**
             * Format: date-time
             * @description When it was made.
             */
            created: string;
            /**
             * Format: date-time
             * @description When it stops to be valid; null: never.
             */
            expires: string | null;
            /** @description Its id. */
            id: components["schemas"]["KeyId"];
            /** @description What it is for, in their words. */
            label: string;
            /** @description What it may do. */
            scopes: components["schemas"]["Scope"][];
            /** @description The key itself. */
            token: string;
            /** @description Whose it is. */
            user_id: components["schemas"]["UserId"];
        };
        /** @description What may be done to a mounted workspace. */
        Mode: "ro" | "rw" | "propose";
        /** @description The dialect in which an agent calls a model. */
        ModelApi: "anthropic-messages" | "openai-chat" | "openai-responses" | "gemini";
        /** @description A model of whoever runs this server, which may be chosen for a dispatch. */
        ModelChoice: {
            /** @description The endpoint that has it. */
            endpoint: string;
            /** @description What the endpoint calls it. */
            model: string;
            /** @description How it is chosen: `ENDPOINT/MODEL`. */
            name: string;
            /** @description The runners for whose agents it answers where no other is chosen. */
            usual_for: components["schemas"]["RunnerName"][];
        };
        /** @description What some models of an endpoint cost: millionths of money for a million tokens. */
        ModelPrice: {
            /**
             * Format: uint64
             * @description For those of them that a cache had; the same where absent.
             */
            cached: number | null;
            /**
             * Format: uint64
             * @description For tokens of a request.
             */
            input: number;
            /** @description Which models: a name, in which `*` stands for anything. */
            models: string;
            /**
             * Format: uint64
             * @description For tokens of an answer.
             */
            output: number;
        };
        /** @description Which model answers where. */
        Models: {
            agent_model: string;
            chat_model: string;
            /** @description What may be chosen, endpoint by endpoint. Endpoints that one brings are at `/auth/endpoints`. */
            choices: components["schemas"]["ModelChoice"][];
            meeting_model: string | null;
            streaming_model: string;
        };
        /** @description One workspace as one dispatch sees it. */
        Mount: {
            /** @description The commit the dispatch begins with, chosen when it was accepted; absent for an empty workspace. */
            base: components["schemas"]["CommitId"] | null;
            /** @description What may be done to it. */
            mode: components["schemas"]["Mode"];
            /** @description What it was called when this was written; the folder's name where there are several. */
            name: components["schemas"]["WorkspaceName"];
            /** @description What it is for, as its owner said when this was written; the agent is told. */
            purpose?: string;
            /** @description The workspace. */
            workspace: components["schemas"]["WorkspaceId"];
        };
        /** @description What a file is to hold. */
        NewContent: {
            /** @description The revision that the writer saw: a file that changed since is not written over. */
            base?: string | null;
            /** @description What it is to hold. */
            content: string;
            /** @description The file. */
            path: string;
        };
        /** @description A model endpoint that is to be kept. */
        NewEndpoint: {
            /**
             * @description The dialect it speaks; `openai` where absent.
             * @default openai
             */
            api?: components["schemas"]["EndpointApi"];
            /** @description Its key. Absent: the one that it has, as long as it points to the same host. */
            key?: string | null;
            /**
             * Format: uint64
             * @description The most tokens that it takes as the limit of an answer.
             */
            max_tokens?: number | null;
            /** @description The model that answers where no other is named. */
            model: string;
            /**
             * @description Others of it that may be asked for; all else is refused.
             * @default []
             */
            models?: string[];
            /** @description What its models cost; the first that fits a model counts. */
            prices?: components["schemas"]["NewPrice"][];
            /**
             * @description The runners whose agents may be given it; all where absent.
             * @default []
             */
            runners?: components["schemas"]["RunnerName"][];
            /** @description Its address, with or without `/v1`, without a credential. */
            url: string;
        };
        /** @description An invitation that is to be made. */
        NewInvite: {
            /** @description The mail addresses for which it is, if it is restricted. */
            emails?: string[] | null;
            /**
             * Format: uint64
             * @description How long it is open, in seconds from now on; 7 days where absent.
             */
            expires_s?: number | null;
            /** @description For whom it is. */
            mode: components["schemas"]["InviteMode"];
            /** @description What those who follow it become: viewer or contributor. */
            role: components["schemas"]["Role"];
            /**
             * Format: uint32
             * @description For how many people; as many as there are addresses, or one, where absent.
             */
            uses?: number | null;
        };
        /** @description A key that is to be made. */
        NewKey: {
            /** @description What it is for, at most 100 characters. */
            label?: string | null;
            /**
             * @description What it may do: `agent`, `read`, `admin`, separated by commas or spaces; `agent` and `read`
             *     where absent.
             */
            scopes?: string | null;
        };
        /** @description A person who is to be added. */
        NewPerson: {
            /** @description Their mail address. */
            email: string;
            /**
             * Format: uint32
             * @description How many dispatches of theirs may be alive at once, 1 to 10000.
             */
            max_concurrent?: number | null;
            /** @description What they are called; the part before the `@` where absent. */
            name?: string | null;
        };
        /** @description What models of an endpoint cost: millionths of money for a million tokens. */
        NewPrice: {
            /**
             * Format: uint64
             * @description For those of them that a cache had; the same where absent.
             */
            cached?: number | null;
            /**
             * Format: uint64
             * @description For tokens of a request.
             */
            input: number;
            /** @description Which models: a name, in which `*` stands for anything; all where absent. */
            models?: string | null;
            /**
             * Format: uint64
             * @description For tokens of an answer.
             */
            output: number;
        };
        /** @description What a workspace is to be for. */
        NewPurpose: {
            /** @description One line of at most 300 characters. */
            purpose: string;
            /** @description Its id or name; what the query says, or your home, where absent. */
            workspace?: string | null;
        };
        /** @description What a member is to be. */
        NewRole: {
            role: components["schemas"]["Role"];
        };
        /** @description A workspace that is to be made. */
        NewWorkspace: {
            /** @description What you call it. */
            name: string;
            /** @description One line that every agent which works there is told. */
            purpose?: string | null;
            /** @description `knowledge` or `plain`. */
            template?: string | null;
        };
        /** @description A page of a graph. */
        Node: {
            /** @description Its type, where it says so. */
            kind: string | null;
            /** @description Where it stands. */
            path: string;
            /** @description Whether its day has come. */
            stale: boolean;
            /** @description What it is called. */
            title: string;
            /** @description How far it may be trusted. */
            trust: components["schemas"]["Tier"];
        };
        /** @description One thing that an agent did. */
        Op: components["schemas"]["Call"] | {
            /** @description The new commit. */
            commit: components["schemas"]["CommitId"];
        };
        /** @description People. */
        People: {
            users: components["schemas"]["Person"][];
        };
        /** @description Whether an agent asks before it changes something or runs a command. */
        Permission: "auto" | "ask";
        /** @description What a question is answered. */
        PermissionAnswer: {
            /** @description The option that is chosen; null: refused. */
            option?: string | null;
        };
        /** @description One thing that may be answered to a question. */
        PermissionOption: {
            /** @description `allow_once`, `allow_always`, `reject_once` or `reject_always`. */
            kind: string;
            /** @description For people. */
            name: string;
            /** @description Its id. */
            option: string;
        };
        /** @description A person. */
        Person: {
            /**
             * Format: date-time
             * @description When they were added.
             */
            created: string;
            /** @description Their mail address. */
            email: string;
            /**
             * Format: uint32
             * @description How many dispatches of theirs may be alive at once.
             */
            max_concurrent: number;
            /** @description What they are called. */
            name: string;
            /** @description Their id. */
            user_id: components["schemas"]["UserId"];
        };
        /** @description A piece of what a page says. */
        Piece: {
            /** @description Whether it is what was looked for. */
            match: boolean;
            /** @description Its text. */
            text: string;
        };
        /** @description One step of a plan. */
        PlanStep: {
            /** @description `pending`, `in_progress` or `completed`. */
            status: string;
            /** @description What is to be done. */
            text: string;
        };
        /** @description An error in full, as RFC 9457 has it. */
        Problem: {
            /** @description What it is, for programs. */
            code: components["schemas"]["ErrorCode"];
            /** @description What happened and what to do next, for people. */
            detail: string;
            /**
             * Format: uint16
             * @description The status of the response.
             */
            status: number;
            /** @description What it is, in a few words that never change. */
            title: string;
            /** @description Stands for the code. */
            type: string;
        };
        /** @description A proposal, without what it would change. */
        Proposal: {
            /**
             * Format: date-time
             * @description When it was made.
             */
            created: string;
            /** @description Who decided it and how; null while nobody did. */
            decided: components["schemas"]["Decided"] | null;
            /** @description The dispatch that made it; null if no dispatch did. */
            dispatch: components["schemas"]["DispatchId"] | null;
            /**
             * Format: date-time
             * @description From when on it cannot be approved any more.
             */
            expires: string;
            /** @description Why a reader should look twice. */
            flags: string[];
            /** @description Its id. */
            id: components["schemas"]["ProposalId"];
            /** @description Whether what triggered it may be believed. */
            input_trust: components["schemas"]["InputTrust"];
            /** @description What its maker had read. */
            label: components["schemas"]["Label"];
            /** @description What started it. */
            launcher: components["schemas"]["Launcher"];
            /** @description The first paths that it changed, at most 100. */
            paths: string[];
            /** @description Why it was not applied by itself. */
            reason: components["schemas"]["HeldReason"];
            /** @description The conversation of that dispatch. */
            session: components["schemas"]["SessionId"] | null;
            /** @description Where it stands. */
            state: components["schemas"]["ProposalState"];
            /** @description On whose behalf it was made. */
            subject: components["schemas"]["UserId"];
            /** @description What that person is in the workspace now; null if nothing any more. */
            subject_role: components["schemas"]["Role"] | null;
            /** @description For people, one line. */
            title: string;
            /** @description Why it was started. */
            trigger: components["schemas"]["Trigger"];
            /** @description The workspace that it would change. */
            workspace: components["schemas"]["WorkspaceId"];
            /** @description What that is called. */
            workspace_name: string;
        };
        /** @description A change-set that waits for a person. */
        ProposalId: string;
        /** @description A proposal, and what it would change in the folder as it is now. */
        ProposalInFull: {
            /** @description The commit on which it was made. */
            base: components["schemas"]["CommitId"];
            /** @description The paths that both changed. */
            conflicts: string[];
            /**
             * Format: date-time
             * @description When it was made.
             */
            created: string;
            /** @description Who decided it and how; null while nobody did. */
            decided: components["schemas"]["Decided"] | null;
            /** @description Stands for these very bytes: an approval names it. */
            digest: string;
            /** @description The dispatch that made it; null if no dispatch did. */
            dispatch: components["schemas"]["DispatchId"] | null;
            /**
             * Format: date-time
             * @description From when on it cannot be approved any more.
             */
            expires: string;
            /** @description What it would change. */
            files: components["schemas"]["FileDiff"][];
            /** @description Why a reader should look twice. */
            flags: string[];
            /** @description The commit that the folder has now. */
            head: components["schemas"]["CommitId"];
            /** @description Its id. */
            id: components["schemas"]["ProposalId"];
            /** @description Whether what triggered it may be believed. */
            input_trust: components["schemas"]["InputTrust"];
            /** @description What its maker had read. */
            label: components["schemas"]["Label"];
            /** @description What started it. */
            launcher: components["schemas"]["Launcher"];
            /** @description Whether those two differ. */
            moved: boolean;
            /** @description The first paths that it changed, at most 100. */
            paths: string[];
            /** @description Why it was not applied by itself. */
            reason: components["schemas"]["HeldReason"];
            /** @description The paths that cannot be taken, and why. */
            refused: components["schemas"]["RefusedPath"][];
            /** @description The conversation of that dispatch. */
            session: components["schemas"]["SessionId"] | null;
            /** @description Where it stands. */
            state: components["schemas"]["ProposalState"];
            /** @description On whose behalf it was made. */
            subject: components["schemas"]["UserId"];
            /** @description What that person is in the workspace now; null if nothing any more. */
            subject_role: components["schemas"]["Role"] | null;
            /** @description For people, one line. */
            title: string;
            /** @description Why it was started. */
            trigger: components["schemas"]["Trigger"];
            /** @description The workspace that it would change. */
            workspace: components["schemas"]["WorkspaceId"];
            /** @description What that is called. */
            workspace_name: string;
        };
        /** @description A page of proposals. */
        Proposals: {
            /** @description Whether there are older ones. */
            more: boolean;
            proposals: components["schemas"]["Proposal"][];
        };
        /**
         * @description Where a proposal stands.
         * @enum {string}
         */
        ProposalState: "open" | "approved" | "denied" | "expired";
        /** @description What an agent speaks on its standard streams. */
        Protocol: "acp" | "claude-stream-json" | "codex-app-server" | "jsonl" | "text";
        /** @description Where a workspace is to be pushed. */
        Publish: {
            /** @description The branch; `main` where absent. */
            ref?: string | null;
            /** @description Its address, without a credential: `https://…`, `ssh://…` or `git@host:path`. */
            repo: string;
            /** @description A token, or by ssh a private key. For this one request, and kept nowhere. */
            token?: string | null;
        };
        /** @description What a pull came to. */
        PulledFrom: {
            /**
             * Format: uint
             * @description How many commits are new.
             */
            commits: number;
            /** @description Whether both sides had gone on, and the newest commit joins them. A push brings it there. */
            merged: boolean;
            remote: components["schemas"]["Remote"];
            /** @description The newest commit; both have it now, unless it was merged. */
            revision: components["schemas"]["CommitId"];
            workspace: components["schemas"]["WorkspaceId"];
        };
        /** @description What a workspace is for. */
        Purpose: {
            purpose: string;
            workspace: components["schemas"]["WorkspaceId"];
        };
        /** @description What a push came to. */
        PushedTo: {
            /** @description Whether the branch moved there now. */
            moved: boolean;
            /** @description Whether the other side is a Remit server too, where it waits as a proposal. */
            proposed: boolean;
            remote: components["schemas"]["Remote"];
            /** @description The commit that was pushed; both have it now, unless it waits there. */
            revision: components["schemas"]["CommitId"];
            workspace: components["schemas"]["WorkspaceId"];
        };
        /** @description A question of an agent that waits for a person. */
        Question: {
            /** @description Its arguments, whole. */
            arguments: unknown;
            /** @description The question's id. */
            ask: string;
            /**
             * Format: date-time
             * @description When it was asked.
             */
            asked: string;
            /** @description The call it is about. */
            call: string;
            /** @description Whose agent it is. */
            dispatch: components["schemas"]["DispatchId"];
            /**
             * Format: date-time
             * @description From when on it is refused.
             */
            expires: string;
            /** @description What started it. */
            launcher: components["schemas"]["Launcher"];
            /** @description What may be answered. */
            options: components["schemas"]["PermissionOption"][];
            /** @description What drives it. */
            runner: components["schemas"]["RunnerName"];
            /** @description On whose behalf the agent works. */
            subject: components["schemas"]["UserId"];
            /** @description The call in one line. */
            title: string;
            /** @description The tool, in one word; null where the agent did not say. */
            tool: string | null;
        };
        /** @description Questions of agents. */
        Questions: {
            permissions: components["schemas"]["Question"][];
        };
        /** @description Something outside. */
        Reference: {
            /** @description Which version of it. */
            etag?: string | null;
            /** @description Where it is. */
            uri: string;
        };
        /** @description One path that was not committed. */
        Refusal: {
            /** @description The path, made safe to show. */
            path: string;
            /** @description Why. */
            reason: string;
        };
        /** @description A path that cannot be taken. */
        RefusedPath: {
            path: string;
            /** @description Why. */
            reason: string;
        };
        /** @description The outside repository that a workspace follows. */
        Remote: {
            /** @description The branch. */
            ref: string;
            /** @description Its address, without any credential. */
            repo: string;
        };
        /** @description How a conversation is to go on. */
        Resume: {
            /** @description What is said next; that it should go on, where absent. */
            prompt?: string | null;
            /** @description A name for the turn; one of ours where absent. */
            turn_id?: components["schemas"]["TurnId"] | null;
        };
        /** @description What is to be taken back. */
        Revert: {
            /** @description The commit. */
            commit: string;
        };
        /** @description A change that was made. */
        Revision: {
            /** @description The new revision. */
            revision: components["schemas"]["CommitId"];
        };
        /** @description What a person is in a workspace. Whoever is more may do all that one who is less may. */
        Role: "viewer" | "contributor" | "owner";
        /** @description What drives an agent. */
        Runner: {
            /** @description Stands for its whole definition: another one is another runner. */
            definition: string;
            /** @description The command that installs it; null where there is nothing to install. */
            install: string | null;
            /** @description Whether its program is on this server. */
            installed: boolean;
            /** @description Whether it can be given tools behind the gate. */
            mcp: boolean;
            /** @description In which dialect it calls a model. */
            model_api: components["schemas"]["ModelApi"];
            /** @description Its name. */
            name: components["schemas"]["RunnerName"];
            /** @description Whether it may be picked. */
            passed: boolean;
            /** @description Whether it can be told to ask before it acts. */
            permissions: boolean;
            /** @description What it speaks. */
            protocol: components["schemas"]["Protocol"];
            /** @description What its last test found; null if it was never tested as it is now. */
            test: components["schemas"]["RunnerReport"] | null;
            /** @description One sentence for people. */
            title: string;
            /** @description The version that was pinned; null for the built-in agent. */
            version: string | null;
        };
        /** @description One thing that was tried. */
        RunnerCheck: {
            /** @description In one word, as `resume`. */
            check: string;
            /** @description Why, in a sentence; empty where it works. */
            note: string;
            /** @description What came of it. */
            result: components["schemas"]["CheckResult"];
        };
        /**
         * @description What a runner is called, as `remit` or `claude-code`.
         *     1 to 64 characters of `a-z A-Z 0-9 _ - . :`, not starting with `.` or `-`.
         */
        RunnerName: string;
        /** @description What was tried with a runner, and what came of it. */
        RunnerReport: {
            /** @description When, in milliseconds. */
            at: components["schemas"]["Time"];
            /** @description What was tried, in order. */
            checks: components["schemas"]["RunnerCheck"][];
            /** @description Of the definition that was tested: another one is another runner. */
            definition: string;
        };
        /** @description What drives agents. */
        Runners: {
            /** @description The one of a conversation for which nobody says. */
            default: components["schemas"]["RunnerName"];
            runners: components["schemas"]["Runner"][];
        };
        /** @description What one side said, and did meanwhile. */
        Said: {
            ops: components["schemas"]["Op"][];
            role: components["schemas"]["Speaker"];
            text: string;
        };
        /** @description One sandbox: a box that was built for a dispatch. */
        SandboxId: string;
        /** @description What a key may do. */
        Scope: "agent" | "read" | "admin";
        /** @description A page that was found. */
        SearchHit: {
            /** @description Where it stands. */
            path: string;
            /** @description What it says around the words, in order. */
            pieces: components["schemas"]["Piece"][];
            /**
             * Format: double
             * @description How well it fits; higher is better. Comparable within one answer only.
             */
            score: number;
            /** @description The pieces, joined. */
            snippet: string;
            /** @description What it is called. */
            title: string;
        };
        /** @description What a server of tools is called: 1 to 24 characters of `a-z 0-9 -`, a letter first and no dash last. */
        ServerName: string;
        /** @description A conversation. */
        Session: {
            /**
             * Format: date-time
             * @description When its first turn was asked for.
             */
            created: string;
            /**
             * Format: date-time
             * @description When its last turn was asked for, or ended.
             */
            last_active: string;
            /** @description Its id. */
            session: components["schemas"]["SessionId"];
            /** @description The beginning of its first prompt. */
            title: string;
        };
        /** @description A conversation, continued by its session file. */
        SessionId: string;
        /** @description A conversation that is to go on. */
        SessionRef: {
            /** @description Its id. */
            ref: string;
        };
        /** @description Conversations. */
        Sessions: {
            sessions: components["schemas"]["Session"][];
        };
        /** @description How much a finding matters. */
        Severity: "error" | "warning";
        /** @description Who wrote a commit. */
        Signature: {
            email: string;
            name: string;
        };
        /** @enum {string} */
        Speaker: "user" | "assistant";
        /** @description The dispatch that was started. */
        Started: {
            /** @description Its id. */
            workload_id: components["schemas"]["DispatchId"];
        };
        /** @description Where a dispatch begins: exactly one of the two. */
        StartRef: {
            entrypoint: components["schemas"]["Entrypoint"];
        } | {
            session: components["schemas"]["SessionRef"];
        };
        /** @description Whether a turn was stopped. */
        Stopped: {
            ok: boolean;
            /** @description Whether one was running. */
            stopped: boolean;
        };
        /**
         * @description Why a dispatch is over.
         * @enum {string}
         */
        StopReason: "completed" | "stopped" | "idle_timeout" | "failed" | "oom" | "start_failed" | "max_lifetime";
        /** @description Which repository is to be worked on instead. */
        Swap: {
            /** @description The branch; `main` where absent. */
            ref?: string | null;
            /** @description Its address, without a credential: `https://…`, `ssh://…` or `git@host:path`. */
            repo?: string | null;
            /** @description A token, or by ssh a private key. For this one request, and kept nowhere. */
            token?: string | null;
        };
        /** @description What took which place. */
        Swapped: {
            /** @description The one that was; null if none. */
            parked: components["schemas"]["Workspace"] | null;
            /** @description The one that is part of conversations now. */
            workspace: components["schemas"]["Workspace"];
        };
        /** @description How far a page may be trusted, derived from who verified it. Advice, never a permission. */
        Tier: "unverified" | "machine-confirmed" | "human-reviewed";
        /**
         * Format: uint64
         * @description Milliseconds since 1970-01-01T00:00:00Z.
         */
        Time: number;
        /** @description A tool of a server behind the gate. */
        Tool: {
            /** @description Whether it only looks something up. */
            effect: components["schemas"]["ToolEffect"];
            /** @description Its name. */
            name: string;
        };
        /** @description What a tool does beyond its answer. */
        ToolEffect: "reads" | "acts";
        /** @description What kind of tool a call is; the kinds of ACP. */
        ToolKind: "read" | "edit" | "delete" | "move" | "search" | "execute" | "think" | "fetch" | "other";
        /** @description A server of tools behind the gate. */
        ToolServer: {
            /** @description For people, one line. */
            about: string;
            /** @description Whether it stands in this program. */
            built_in: boolean;
            /** @description What it is called. */
            name: components["schemas"]["ServerName"];
            /** @description What may be called of it. */
            tools: components["schemas"]["Tool"][];
            /** @description Whether what began with input from outside may ask it. */
            untrusted: boolean;
        };
        /** @description What agents may be given. */
        ToolServers: {
            /** @description By name. */
            servers: components["schemas"]["ToolServer"][];
        };
        /** @description Where a tool call stands. */
        ToolStatus: "pending" | "in_progress" | "completed" | "failed";
        /** @description The files of a workspace. */
        Tree: {
            /** @description The same with what they are. */
            entries: components["schemas"]["TreeEntry"][];
            /** @description Their paths. */
            files: string[];
            /** @description The revision that this is; null while the workspace is empty. */
            revision: components["schemas"]["CommitId"] | null;
        };
        /** @description One file of a workspace. */
        TreeEntry: {
            kind: components["schemas"]["FileKind"];
            path: string;
            /**
             * Format: uint64
             * @description In bytes.
             */
            size: number;
        };
        /** @description Why a dispatch was started. */
        Trigger: "message" | "scheduled" | "event" | "transcription";
        /** @description Which model is to be tried. */
        Try: {
            /** @description One that the endpoint offers; its usual one where absent. */
            model?: string | null;
        };
        /**
         * @description One message to an agent and all it did about it; chosen by the client, or by us.
         *     1 to 64 characters of `a-z A-Z 0-9 _ - . :`, not starting with `.` or `-`.
         */
        TurnId: string;
        /** @description How a turn ended. */
        TurnOutcome: {
            /** @constant */
            kind: "completed";
        } | {
            /** @constant */
            kind: "stopped";
        } | {
            /** @description How. */
            failure: components["schemas"]["Failure"];
            /** @constant */
            kind: "failed";
        };
        /** @description Files that were written. */
        Uploaded: {
            files: components["schemas"]["UploadedFile"][];
            /** @description The new revision. */
            revision: components["schemas"]["CommitId"];
        };
        /** @description A file that was written. */
        UploadedFile: {
            path: string;
            /**
             * Format: uint
             * @description In bytes.
             */
            size: number;
        };
        /**
         * @description What models used. Of requests whose endpoint did not say, or that have no price, it says how many
         *     there are, so that nobody takes a part for the whole.
         */
        Usage: {
            /**
             * Format: uint64
             * @description Tokens of the requests that the endpoint had cached.
             */
            cached_tokens: number;
            /**
             * Format: uint64
             * @description What those that have a price cost together, in millionths; absent where none has one.
             */
            cost_micros?: number | null;
            /**
             * Format: uint64
             * @description Tokens of the requests, those that were cached included.
             */
            input_tokens: number;
            /**
             * Format: uint64
             * @description Tokens of the answers.
             */
            output_tokens: number;
            /**
             * Format: uint64
             * @description How often a model was asked.
             */
            requests: number;
            /**
             * Format: uint64
             * @description Requests whose endpoint did not say what they used.
             */
            unknown: number;
            /**
             * Format: uint64
             * @description Requests that have no price.
             */
            unpriced: number;
        };
        /** @description What models used of one day, dispatch, turn or model. */
        UsageRow: {
            /**
             * Format: uint64
             * @description Tokens of the requests that the endpoint had cached.
             */
            cached_tokens: number;
            /**
             * Format: uint64
             * @description What those that have a price cost together, in millionths; absent where none has one.
             */
            cost_micros?: number | null;
            /**
             * Format: uint64
             * @description Tokens of the requests, those that were cached included.
             */
            input_tokens: number;
            /** @description The day, dispatch, turn or model. */
            key: string;
            /**
             * Format: uint64
             * @description Tokens of the answers.
             */
            output_tokens: number;
            /**
             * Format: uint64
             * @description How often a model was asked.
             */
            requests: number;
            /**
             * Format: uint64
             * @description Requests whose endpoint did not say what they used.
             */
            unknown: number;
            /**
             * Format: uint64
             * @description Requests that have no price.
             */
            unpriced: number;
        };
        /** @description What models used, added up. */
        UsageRows: {
            /** @description Whether there are more. */
            more: boolean;
            rows: components["schemas"]["UsageRow"][];
        };
        /** @description A person. */
        UserId: string;
        /** @description One path that was not committed. */
        Violation: {
            path: string;
            reason: components["schemas"]["HeldReason"] | string;
        };
        /** @description Which conversation is meant. */
        WhichSession: {
            /** @description Its id. */
            session?: string | null;
        };
        /** @description Which workspace is meant. */
        WhichWorkspace: {
            /** @description Its id or name. */
            workspace: string;
        };
        /** @description A credential for the outside repository. */
        WithToken: {
            /** @description A token, or by ssh a private key. For this one request, and kept nowhere. */
            token?: string | null;
        };
        /** @description A workspace as one of its members sees it. */
        Workspace: {
            /** @description Whether it is part of the caller's conversations that name none. */
            active: boolean;
            /**
             * Format: date-time
             * @description When it was made.
             */
            created: string;
            /** @description Its newest revision; null while it is empty. */
            head: components["schemas"]["CommitId"] | null;
            /** @description Its id. */
            id: components["schemas"]["WorkspaceId"];
            /** @description What its owner calls it. */
            name: components["schemas"]["WorkspaceName"];
            /** @description Whose it is. */
            owner: components["schemas"]["UserId"];
            /** @description What it is for; agents are told. */
            purpose: string;
            /** @description The outside repository that it follows; null if none. */
            remote: components["schemas"]["Remote"] | null;
            /** @description What the caller is in it. */
            role: components["schemas"]["Role"];
        };
        /** @description What it committed to one workspace. */
        WorkspaceDiff: {
            /** @description Oldest first. */
            commits: components["schemas"]["CommitId"][];
            files: components["schemas"]["FileDiff"][];
            workspace: components["schemas"]["WorkspaceId"];
        };
        /** @description A git folder. */
        WorkspaceId: string;
        /**
         * @description What people call a workspace; unique for its owner.
         *     1 to 64 characters of `a-z A-Z 0-9 _ - . :`, not starting with `.` or `-`.
         */
        WorkspaceName: string;
        /** @description A workspace by its id or by its name for the caller. */
        WorkspaceRef: {
            /** @description Its id or name. */
            id: string;
            /** @description What may be done to it; the trigger's default where absent. */
            mode?: components["schemas"]["Mode"] | null;
        };
        /** @description Workspaces. */
        Workspaces: {
            workspaces: components["schemas"]["Workspace"][];
        };
        /** @description A file that was written. */
        Written: {
            path: string;
            /** @description The new revision. */
            revision: components["schemas"]["CommitId"];
        };
    };
    responses: {
        /** @description It was not done; `detail` says why and what to do next. */
        Problem: {
            headers: {
                [name: string]: unknown;
            };
            content: {
                "application/json": {
                    detail: string;
                };
                "application/problem+json": components["schemas"]["Problem"];
            };
        };
    };
    parameters: never;
    requestBodies: never;
    headers: never;
    pathItems: never;
}
export type Answered = components['schemas']['Answered'];
export type Approval = components['schemas']['Approval'];
export type Approved = components['schemas']['Approved'];
export type Attach = components['schemas']['Attach'];
export type Attached = components['schemas']['Attached'];
export type Backlink = components['schemas']['Backlink'];
export type Brokered = components['schemas']['Brokered'];
export type Budget = components['schemas']['Budget'];
export type Call = components['schemas']['Call'];
export type Chat = components['schemas']['Chat'];
export type CheckResult = components['schemas']['CheckResult'];
export type Commit = components['schemas']['Commit'];
export type CommitDiff = components['schemas']['CommitDiff'];
export type CommitId = components['schemas']['CommitId'];
export type Commits = components['schemas']['Commits'];
export type Context = components['schemas']['Context'];
export type ContextKind = components['schemas']['ContextKind'];
export type Decided = components['schemas']['Decided'];
export type Denial = components['schemas']['Denial'];
export type Denied = components['schemas']['Denied'];
export type Diff = components['schemas']['Diff'];
export type Dispatch = components['schemas']['Dispatch'];
export type DispatchDiff = components['schemas']['DispatchDiff'];
export type Dispatches = components['schemas']['Dispatches'];
export type DispatchId = components['schemas']['DispatchId'];
export type DispatchState = components['schemas']['DispatchState'];
export type Done = components['schemas']['Done'];
export type Edge = components['schemas']['Edge'];
export type End = components['schemas']['End'];
export type Endpoint = components['schemas']['Endpoint'];
export type EndpointApi = components['schemas']['EndpointApi'];
export type EndpointName = components['schemas']['EndpointName'];
export type Endpoints = components['schemas']['Endpoints'];
export type EndpointTest = components['schemas']['EndpointTest'];
export type Entry = components['schemas']['Entry'];
export type Entrypoint = components['schemas']['Entrypoint'];
export type ErrorCode = components['schemas']['ErrorCode'];
export type Event = components['schemas']['Event'];
export type EventId = components['schemas']['EventId'];
export type Exchange = components['schemas']['Exchange'];
export type Failure = components['schemas']['Failure'];
export type FailureCode = components['schemas']['FailureCode'];
export type File = components['schemas']['File'];
export type FileApproval = components['schemas']['FileApproval'];
export type FileDiff = components['schemas']['FileDiff'];
export type FileKind = components['schemas']['FileKind'];
export type FileStatus = components['schemas']['FileStatus'];
export type Finding = components['schemas']['Finding'];
export type Frame = components['schemas']['Frame'];
export type Glance = components['schemas']['Glance'];
export type Graph = components['schemas']['Graph'];
export type Health = components['schemas']['Health'];
export type HeldReason = components['schemas']['HeldReason'];
export type History = components['schemas']['History'];
export type Hits = components['schemas']['Hits'];
export type HunkDiff = components['schemas']['HunkDiff'];
export type Identity = components['schemas']['Identity'];
export type Init = components['schemas']['Init'];
export type Initialized = components['schemas']['Initialized'];
export type InputTrust = components['schemas']['InputTrust'];
export type Invite = components['schemas']['Invite'];
export type InviteId = components['schemas']['InviteId'];
export type InviteMode = components['schemas']['InviteMode'];
export type InvitePreview = components['schemas']['InvitePreview'];
export type Invites = components['schemas']['Invites'];
export type InviteToken = components['schemas']['InviteToken'];
export type Invocation = components['schemas']['Invocation'];
export type IsIn = components['schemas']['IsIn'];
export type Key = components['schemas']['Key'];
export type KeyId = components['schemas']['KeyId'];
export type Keys = components['schemas']['Keys'];
export type KnowledgeReport = components['schemas']['KnowledgeReport'];
export type KnowledgeTotals = components['schemas']['KnowledgeTotals'];
export type Label = components['schemas']['Label'];
export type Launcher = components['schemas']['Launcher'];
export type LineDiff = components['schemas']['LineDiff'];
export type LineKind = components['schemas']['LineKind'];
export type Link = components['schemas']['Link'];
export type Links = components['schemas']['Links'];
export type LinkToken = components['schemas']['LinkToken'];
export type LoggedIn = components['schemas']['LoggedIn'];
export type LoginLink = components['schemas']['LoginLink'];
export type Me = components['schemas']['Me'];
export type Meeting = components['schemas']['Meeting'];
export type Member = components['schemas']['Member'];
export type MemberRole = components['schemas']['MemberRole'];
export type Members = components['schemas']['Members'];
export type MintedInvite = components['schemas']['MintedInvite'];
export type MintedKey = components['schemas']['MintedKey'];
export type Mode = components['schemas']['Mode'];
export type ModelApi = components['schemas']['ModelApi'];
export type ModelChoice = components['schemas']['ModelChoice'];
export type ModelPrice = components['schemas']['ModelPrice'];
export type Models = components['schemas']['Models'];
export type Mount = components['schemas']['Mount'];
export type NewContent = components['schemas']['NewContent'];
export type NewEndpoint = components['schemas']['NewEndpoint'];
export type NewInvite = components['schemas']['NewInvite'];
export type NewKey = components['schemas']['NewKey'];
export type NewPerson = components['schemas']['NewPerson'];
export type NewPrice = components['schemas']['NewPrice'];
export type NewPurpose = components['schemas']['NewPurpose'];
export type NewRole = components['schemas']['NewRole'];
export type NewWorkspace = components['schemas']['NewWorkspace'];
export type Node = components['schemas']['Node'];
export type Op = components['schemas']['Op'];
export type People = components['schemas']['People'];
export type Permission = components['schemas']['Permission'];
export type PermissionAnswer = components['schemas']['PermissionAnswer'];
export type PermissionOption = components['schemas']['PermissionOption'];
export type Person = components['schemas']['Person'];
export type Piece = components['schemas']['Piece'];
export type PlanStep = components['schemas']['PlanStep'];
export type Problem = components['schemas']['Problem'];
export type Proposal = components['schemas']['Proposal'];
export type ProposalId = components['schemas']['ProposalId'];
export type ProposalInFull = components['schemas']['ProposalInFull'];
export type Proposals = components['schemas']['Proposals'];
export type ProposalState = components['schemas']['ProposalState'];
export type Protocol = components['schemas']['Protocol'];
export type Publish = components['schemas']['Publish'];
export type PulledFrom = components['schemas']['PulledFrom'];
export type Purpose = components['schemas']['Purpose'];
export type PushedTo = components['schemas']['PushedTo'];
export type Question = components['schemas']['Question'];
export type Questions = components['schemas']['Questions'];
export type Reference = components['schemas']['Reference'];
export type Refusal = components['schemas']['Refusal'];
export type RefusedPath = components['schemas']['RefusedPath'];
export type Remote = components['schemas']['Remote'];
export type Resume = components['schemas']['Resume'];
export type Revert = components['schemas']['Revert'];
export type Revision = components['schemas']['Revision'];
export type Role = components['schemas']['Role'];
export type Runner = components['schemas']['Runner'];
export type RunnerCheck = components['schemas']['RunnerCheck'];
export type RunnerName = components['schemas']['RunnerName'];
export type RunnerReport = components['schemas']['RunnerReport'];
export type Runners = components['schemas']['Runners'];
export type Said = components['schemas']['Said'];
export type SandboxId = components['schemas']['SandboxId'];
export type Scope = components['schemas']['Scope'];
export type SearchHit = components['schemas']['SearchHit'];
export type ServerName = components['schemas']['ServerName'];
export type Session = components['schemas']['Session'];
export type SessionId = components['schemas']['SessionId'];
export type SessionRef = components['schemas']['SessionRef'];
export type Sessions = components['schemas']['Sessions'];
export type Severity = components['schemas']['Severity'];
export type Signature = components['schemas']['Signature'];
export type Speaker = components['schemas']['Speaker'];
export type Started = components['schemas']['Started'];
export type StartRef = components['schemas']['StartRef'];
export type Stopped = components['schemas']['Stopped'];
export type StopReason = components['schemas']['StopReason'];
export type Swap = components['schemas']['Swap'];
export type Swapped = components['schemas']['Swapped'];
export type Tier = components['schemas']['Tier'];
export type Time = components['schemas']['Time'];
export type Tool = components['schemas']['Tool'];
export type ToolEffect = components['schemas']['ToolEffect'];
export type ToolKind = components['schemas']['ToolKind'];
export type ToolServer = components['schemas']['ToolServer'];
export type ToolServers = components['schemas']['ToolServers'];
export type ToolStatus = components['schemas']['ToolStatus'];
export type Tree = components['schemas']['Tree'];
export type TreeEntry = components['schemas']['TreeEntry'];
export type Trigger = components['schemas']['Trigger'];
export type Try = components['schemas']['Try'];
export type TurnId = components['schemas']['TurnId'];
export type TurnOutcome = components['schemas']['TurnOutcome'];
export type Uploaded = components['schemas']['Uploaded'];
export type UploadedFile = components['schemas']['UploadedFile'];
export type Usage = components['schemas']['Usage'];
export type UsageRow = components['schemas']['UsageRow'];
export type UsageRows = components['schemas']['UsageRows'];
export type UserId = components['schemas']['UserId'];
export type Violation = components['schemas']['Violation'];
export type WhichSession = components['schemas']['WhichSession'];
export type WhichWorkspace = components['schemas']['WhichWorkspace'];
export type WithToken = components['schemas']['WithToken'];
export type Workspace = components['schemas']['Workspace'];
export type WorkspaceDiff = components['schemas']['WorkspaceDiff'];
export type WorkspaceId = components['schemas']['WorkspaceId'];
export type WorkspaceName = components['schemas']['WorkspaceName'];
export type WorkspaceRef = components['schemas']['WorkspaceRef'];
export type Workspaces = components['schemas']['Workspaces'];
export type Written = components['schemas']['Written'];
export type ResponseProblem = components['responses']['Problem'];
export type $defs = Record<string, never>;
export type operations = Record<string, never>;
