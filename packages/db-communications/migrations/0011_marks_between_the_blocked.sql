ALTER TABLE "conversation_participants" ADD COLUMN "shown_delivered_seq" bigint;--> statement-breakpoint
ALTER TABLE "conversation_participants" ADD COLUMN "shown_read_seq" bigint;--> statement-breakpoint
UPDATE "conversation_participants" p SET
	"shown_read_seq" = coalesce(marks.seq, 0),
	"shown_delivered_seq" = greatest(p."delivered_seq", marks.seq)
FROM "conversation_participants" self
LEFT JOIN (SELECT "user_id", "channel_id", "last_read_seq" AS seq FROM "read_states") marks
	ON marks."user_id" = self."user_id" AND marks."channel_id" = self."conversation_id"
WHERE self."conversation_id" = p."conversation_id" AND self."user_id" = p."user_id" AND p."conversation_id" IN (
	SELECT c."id" FROM "conversations" c JOIN "blocks" b
		ON c."key" = least(b."user_id", b."blocked_id") || ':' || greatest(b."user_id", b."blocked_id")
);
