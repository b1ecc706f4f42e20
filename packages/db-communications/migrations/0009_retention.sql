CREATE TABLE "message_expiries" (
	"channel_id" uuid PRIMARY KEY NOT NULL,
	"messages" integer DEFAULT 0 NOT NULL,
	"files" integer DEFAULT 0 NOT NULL,
	"began_at" timestamp (3) with time zone NOT NULL
);
--> statement-breakpoint
DROP INDEX "messages_author";--> statement-breakpoint
CREATE INDEX "messages_author" ON "messages" USING btree ("author_id","channel_id","seq") WHERE "messages"."deleted_at" is null;