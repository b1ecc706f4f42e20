ALTER TABLE "message_revisions" ALTER COLUMN "content" DROP NOT NULL;--> statement-breakpoint
ALTER TABLE "message_revisions" ADD COLUMN "seq" bigint NOT NULL;--> statement-breakpoint
ALTER TABLE "messages" ADD COLUMN "edited_seq" bigint;