CREATE TABLE "deleted_authors" (
	"user_id" uuid PRIMARY KEY NOT NULL
);
--> statement-breakpoint
CREATE TABLE "message_deletions" (
	"id" uuid PRIMARY KEY NOT NULL,
	"deleted" integer DEFAULT 0 NOT NULL,
	"began_at" timestamp (3) with time zone DEFAULT now() NOT NULL,
	"finished_at" timestamp (3) with time zone
);
--> statement-breakpoint
CREATE TABLE "published_images" (
	"media_id" uuid NOT NULL,
	"holder" text NOT NULL,
	CONSTRAINT "published_images_media_id_holder_pk" PRIMARY KEY("media_id","holder")
);
--> statement-breakpoint
CREATE TABLE "slow_mode_sends" (
	"channel_id" uuid NOT NULL,
	"author_id" uuid NOT NULL,
	"sent_at" timestamp (3) with time zone NOT NULL,
	CONSTRAINT "slow_mode_sends_channel_id_author_id_pk" PRIMARY KEY("channel_id","author_id")
);
--> statement-breakpoint
ALTER TABLE "published_images" ADD CONSTRAINT "published_images_media_id_media_id_fk" FOREIGN KEY ("media_id") REFERENCES "public"."media"("id") ON DELETE cascade ON UPDATE no action;--> statement-breakpoint
CREATE INDEX "slow_mode_sends_age" ON "slow_mode_sends" USING btree ("sent_at");--> statement-breakpoint
CREATE INDEX "messages_author" ON "messages" USING btree ("author_id","channel_id") WHERE "messages"."deleted_at" is null;