CREATE TABLE "message_mentions" (
	"target_id" uuid NOT NULL,
	"channel_id" uuid NOT NULL,
	"seq" bigint NOT NULL,
	"author_id" uuid NOT NULL,
	CONSTRAINT "message_mentions_target_id_channel_id_seq_pk" PRIMARY KEY("target_id","channel_id","seq")
);
--> statement-breakpoint
CREATE TABLE "message_reaction_counts" (
	"message_id" uuid NOT NULL,
	"emoji" text NOT NULL,
	"count" integer NOT NULL,
	"first_seq" bigint NOT NULL,
	CONSTRAINT "message_reaction_counts_message_id_emoji_pk" PRIMARY KEY("message_id","emoji")
);
--> statement-breakpoint
CREATE TABLE "message_reactions" (
	"message_id" uuid NOT NULL,
	"emoji" text NOT NULL,
	"user_id" uuid NOT NULL,
	CONSTRAINT "message_reactions_message_id_emoji_user_id_pk" PRIMARY KEY("message_id","emoji","user_id")
);
--> statement-breakpoint
CREATE TABLE "message_revisions" (
	"message_id" uuid NOT NULL,
	"revision" integer NOT NULL,
	"content" text NOT NULL,
	"written_at" timestamp (3) with time zone NOT NULL,
	CONSTRAINT "message_revisions_message_id_revision_pk" PRIMARY KEY("message_id","revision")
);
--> statement-breakpoint
CREATE TABLE "read_states" (
	"user_id" uuid NOT NULL,
	"channel_id" uuid NOT NULL,
	"last_read_seq" bigint NOT NULL,
	"read_at" timestamp (3) with time zone NOT NULL,
	CONSTRAINT "read_states_user_id_channel_id_pk" PRIMARY KEY("user_id","channel_id")
);
--> statement-breakpoint
ALTER TABLE "messages" ADD COLUMN "type" text DEFAULT 'default' NOT NULL;--> statement-breakpoint
ALTER TABLE "messages" ADD COLUMN "mentions" jsonb;--> statement-breakpoint
ALTER TABLE "messages" ADD COLUMN "revision" integer DEFAULT 0 NOT NULL;--> statement-breakpoint
ALTER TABLE "messages" ADD COLUMN "pinned_at" timestamp (3) with time zone;--> statement-breakpoint
ALTER TABLE "message_reaction_counts" ADD CONSTRAINT "message_reaction_counts_message_id_messages_id_fk" FOREIGN KEY ("message_id") REFERENCES "public"."messages"("id") ON DELETE cascade ON UPDATE no action;--> statement-breakpoint
ALTER TABLE "message_reactions" ADD CONSTRAINT "message_reactions_message_id_messages_id_fk" FOREIGN KEY ("message_id") REFERENCES "public"."messages"("id") ON DELETE cascade ON UPDATE no action;--> statement-breakpoint
ALTER TABLE "message_revisions" ADD CONSTRAINT "message_revisions_message_id_messages_id_fk" FOREIGN KEY ("message_id") REFERENCES "public"."messages"("id") ON DELETE cascade ON UPDATE no action;--> statement-breakpoint
CREATE INDEX "message_mentions_message" ON "message_mentions" USING btree ("channel_id","seq");--> statement-breakpoint
CREATE INDEX "message_reactions_user" ON "message_reactions" USING btree ("user_id","message_id");--> statement-breakpoint
CREATE INDEX "read_states_channel" ON "read_states" USING btree ("channel_id");--> statement-breakpoint
CREATE INDEX "messages_pins" ON "messages" USING btree ("channel_id","pinned_at","id") WHERE "messages"."pinned_at" is not null;--> statement-breakpoint
CREATE INDEX "messages_replies" ON "messages" USING btree ("reply_to") WHERE "messages"."reply_to" is not null;